import { InputError } from '../../errors';

/** So much larger than asked for may a buffer be that is given again. */
const ROOM = 1.25;

/** So much more than was ever in use at once may be held, free buffers included. */
const SPARE = 1.25;

/** Below this nobody minds what is held: bytes. */
const SMALL = 64 * 2 ** 20;

interface Free {
  readonly buffer: GPUBuffer;
  /** The batch of commands in which it was last used: until that is submitted it must not be destroyed. */
  readonly batch: number;
}

/**
 * Buffers that are given again. Commands run in the order in which they were recorded, so a buffer may be given away as
 * soon as the last command that reads it is recorded. What is held is bounded by what was in use at once: sizes that
 * come no more must not fill the GPU.
 */
export class BufferPool {
  private readonly free = new Map<GPUBufferUsageFlags, Free[]>();
  private readonly used = new Set<GPUBuffer>();
  private batch = 1;
  private inUse = 0;
  private held = 0;
  private peak = 0;

  /**
   * @param submit sends what is recorded, so that buffers it uses may be destroyed
   * @param most bytes that may be held
   */
  constructor(
    private readonly device: GPUDevice,
    private readonly submit: () => void,
    private readonly most = Infinity,
  ) {}

  /** Bytes given away. */
  get numBytesUsed(): number {
    return this.inUse;
  }

  /** Bytes held, free buffers included. */
  get numBytesAllocated(): number {
    return this.held;
  }

  /** The most bytes that were given away at once. */
  get peakBytesUsed(): number {
    return this.peak;
  }

  resetPeak(): void {
    this.peak = this.inUse;
  }

  /**
   * A buffer of at least `size` bytes and of undefined contents.
   * @throws InputError where no buffer of this GPU can be that large
   */
  acquireBuffer(size: number, usage: GPUBufferUsageFlags, mappedAtCreation = false, reuse = true): GPUBuffer {
    this.requirePossible(size, usage);
    const buffer =
      (reuse && !mappedAtCreation && this.again(size, usage)) ||
      this.fresh(Math.max(4, size), usage, mappedAtCreation);
    this.used.add(buffer);
    this.inUse += buffer.size;
    this.peak = Math.max(this.peak, this.inUse);
    return buffer;
  }

  releaseBuffer(buffer: GPUBuffer, reuse = true): void {
    if (!this.used.delete(buffer)) return;
    this.inUse -= buffer.size;
    if (!reuse) return this.destroy(buffer);
    const free = this.free.get(buffer.usage) ?? [];
    free.push({ buffer, batch: this.batch });
    this.free.set(buffer.usage, free);
  }

  /** Whether commands that are not submitted yet may use a buffer of this size that is given again. */
  mayBeRecorded(buffer: GPUBuffer): boolean {
    return this.lastUse.get(buffer) === this.batch;
  }

  private readonly lastUse = new WeakMap<GPUBuffer, number>();

  /** What was recorded is on its way. */
  submitted(): void {
    this.batch++;
  }

  dispose(): void {
    for (const list of this.free.values()) for (const { buffer } of list) buffer.destroy();
    for (const buffer of this.used) buffer.destroy();
    this.free.clear();
    this.used.clear();
    this.inUse = this.held = this.peak = 0;
  }

  private again(size: number, usage: GPUBufferUsageFlags): GPUBuffer | undefined {
    const free = this.free.get(usage);
    if (!free) return undefined;
    let best = -1;
    for (let i = 0; i < free.length; i++) {
      const has = free[i].buffer.size;
      if (has >= size && has <= size * ROOM && (best < 0 || has < free[best].buffer.size)) best = i;
    }
    if (best < 0) return undefined;
    const [{ buffer, batch }] = free.splice(best, 1);
    this.lastUse.set(buffer, batch);
    return buffer;
  }

  private fresh(size: number, usage: GPUBufferUsageFlags, mappedAtCreation: boolean): GPUBuffer {
    const bound = Math.min(this.most, Math.max(SMALL, SPARE * Math.max(this.peak, this.inUse + size)));
    if (this.held + size > bound) this.shrink(bound - size);
    if (this.held + size > this.most)
      throw new InputError(
        `The GPU memory that may be used is full: ${gigabytes(this.held)} of ${gigabytes(this.most)} GB are taken, and ${gigabytes(size)} GB more are needed. Use a smaller --micro-batch, --checkpoint-activations or a smaller grid (--shape, --spacing), or --engine wasm.`,
      );
    this.held += size;
    return this.device.createBuffer({ size, usage, mappedAtCreation });
  }

  /** Destroys free buffers, those that lie idle longest first, until no more than `bytes` are held or none is left. */
  private shrink(bytes: number): void {
    const idle = [...this.free.values()].flat().sort((a, b) => a.batch - b.batch);
    const gone = new Set<Free>();
    for (const one of idle) {
      if (this.held <= bytes) break;
      if (one.batch === this.batch) this.submit();
      gone.add(one);
      this.destroy(one.buffer);
    }
    for (const [usage, list] of this.free)
      this.free.set(
        usage,
        list.filter((one) => !gone.has(one)),
      );
  }

  private destroy(buffer: GPUBuffer): void {
    this.held -= buffer.size;
    buffer.destroy();
  }

  private requirePossible(size: number, usage: GPUBufferUsageFlags): void {
    const { maxBufferSize, maxStorageBufferBindingSize } = this.device.limits;
    const most =
      usage & GPUBufferUsage.STORAGE ? Math.min(maxBufferSize, maxStorageBufferBindingSize) : maxBufferSize;
    if (size <= most) return;
    throw new InputError(
      `A tensor of ${gigabytes(size)} GB is more than this GPU's buffers hold (${gigabytes(most)} GB). Use a smaller --micro-batch or a smaller grid (--shape, --spacing), or --engine wasm.`,
    );
  }
}

function gigabytes(bytes: number): string {
  return (bytes / 2 ** 30).toFixed(2);
}
