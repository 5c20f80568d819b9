/** The engines behind tfjs-core's one API. `cpu` is tfjs's own JavaScript backend: slow, used as a reference. */
export type EngineName = 'wasm' | 'cpu';

/** What computes, and why: recorded in run.json, shown by `fcd doctor`. */
export interface EngineReport {
  readonly name: EngineName;
  /** Kernel module in use, e.g. `simd256`, `simd128-relaxed`, `simd128-strict`; undefined for `cpu`. */
  readonly module?: string;
  readonly threads: number;
  readonly node: string;
  readonly reason: string;
  /** Where the choice of each convolution's algorithm comes from. */
  readonly plan?: PlanReport;
  readonly selfTest: readonly {
    readonly module: string;
    readonly ok: boolean;
    readonly gflops: number;
    readonly detail: string;
  }[];
}

/** Bytes of the engine's memory. */
export interface EngineMemory {
  /** Given to tensors and to running kernels. */
  readonly inUse: number;
  /** That it has grown to. */
  readonly reserved: number;
  /** The most that was ever in use. */
  readonly peak: number;
  /** That it can give at most. */
  readonly atMost: number;
}

export interface PlanReport {
  /** A run's record, timings of this machine, or an estimate of the work where there is neither. */
  readonly source: 'recorded' | 'timed' | 'estimated';
  /** Convolutions that the record or the timings know. */
  readonly known: number;
  /** The file of this machine's timings. */
  readonly cache: string;
  /** Whether convolutions that are not known are timed when they come for the first time. */
  readonly tune: boolean;
}

export interface EngineOptions {
  readonly engine?: EngineName | 'auto';
  /**
   * Hears, once by name, of a kernel that the engine leaves to tfjs's JavaScript although it has much to do: such a
   * kernel works, on one thread and slowly.
   */
  readonly onFallback?: (kernel: string) => void;
  /** Threads including the caller; default: physical cores. */
  readonly threads?: number;
  /** One thread (unless `threads` says otherwise) at low priority: for work beside a training run. */
  readonly background?: boolean;
  /** A kernel module by name, for replay of a recorded plan and for tests. */
  readonly module?: string;
  /** Time the algorithms of each convolution once and remember what was fastest; else what is known, else an estimate. */
  readonly tune?: boolean;
  /** A run's recorded choice of algorithms, to be replayed. */
  readonly plan?: Readonly<Record<string, string>>;
}
