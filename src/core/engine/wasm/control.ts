/**
 * The first bytes of the engine's memory: what the calling thread and its workers tell each other, and two areas that
 * every kernel may use. Word indices into an Int32Array over the memory; words that are written by different threads
 * lie on different cache lines.
 */
export const WORD = {
  /** Raised by one when a kernel (or the end) is announced: workers wait for it to change. */
  generation: 16,
  /** Workers that have finished the kernel. */
  done: 32,
  /** Index of the kernel among the module's exports, or {@link STOP}. */
  kernel: 48,
  /** 1 once a worker's kernel has thrown. */
  failed: 64,
  /** The next piece of work (work.ts of the kernels). */
  counter: 80,
  /** The kernel's job: its fields, 4 bytes each. */
  job: 128,
  /** Length in bytes of the failure's message, then its UTF-8. */
  message: 512,
} as const;

export const STOP = -1;

/** The most bytes of a failure's message that are passed on. */
export const MESSAGE_BYTES = 1024;

/** Tables of the kernels' own constants begin here (build.mjs tells the compiler). */
export const CONSTANTS_AT = 1 << 14;

/** A voxel's worth of zeros: what padding reads. */
export const ZEROS_AT = 1 << 16;

/** Results of positions that do not exist are written here and never read. */
export const SINK_AT = 1 << 17;

/** Bytes of each of the two areas: an upper bound of a voxel's size. */
export const VOXEL_BYTES = 1 << 16;

/** Tensors begin here. */
export const HEAP_AT = 3 << 16;

/**
 * Loads before a waiting thread goes to sleep: two or three milliseconds. A step runs hundreds of kernels with a little
 * JavaScript in between; a thread that sleeps meanwhile costs each of them a system call and the time to wake.
 */
export const SPINS = 200_000;
