import { InputError } from '../../errors';
import { HEAP_AT } from './control';

const PAGE = 65_536;
const ALIGNMENT = 64;
/** A kernel may read a few vectors past a tensor's end, so the last page is never given away. */
const MARGIN = PAGE;

/**
 * Hands out parts of the engine's memory by offset, 64-byte aligned. Sizes are rounded up to classes (eight per power of
 * two, so at most 1/8 is lost), and a freed block serves the next request of its class. Only when memory would have to
 * grow is a larger free block cut, and where there is none neighbouring ones are joined.
 */
export class Heap {
  private top = HEAP_AT;
  private readonly free = new Map<number, number[]>();
  private readonly sizes = new Map<number, number>();
  private freeBytes = 0;
  private peak = 0;

  /** @param maximumPages of 64 KiB each: what the memory was created with */
  constructor(
    private readonly memory: WebAssembly.Memory,
    private readonly maximumPages: number,
  ) {}

  /** Bytes handed out and not yet released. */
  get bytesInUse(): number {
    return this.top - HEAP_AT - this.freeBytes;
  }

  /** The most bytes that were handed out at once since {@link resetPeak}. */
  get peakBytesInUse(): number {
    return this.peak;
  }

  resetPeak(): void {
    this.peak = this.bytesInUse;
  }

  /** Bytes that tensors can have at most. */
  get bytesAtMost(): number {
    return this.maximumPages * PAGE - HEAP_AT - MARGIN;
  }

  /** Bytes that the memory has grown to. */
  get bytesReserved(): number {
    return this.memory.buffer.byteLength;
  }

  /** Offset of a fresh block of at least `bytes`, contents undefined. Throws an InputError when the memory is full. */
  allocate(bytes: number): number {
    const size = sizeClass(bytes);
    const offset =
      this.takeFree(size) ??
      this.takeTop(size, this.memory.buffer.byteLength) ??
      this.takeCut(size) ??
      this.takeJoined(size) ??
      this.takeGrown(size);
    if (offset === undefined) throw new InputError(this.fullMessage(bytes));
    this.sizes.set(offset, size);
    this.peak = Math.max(this.peak, this.bytesInUse);
    return offset;
  }

  release(offset: number): void {
    const size = this.sizes.get(offset);
    if (size === undefined) throw new Error(`Offset ${offset} was released twice or never handed out.`);
    this.sizes.delete(offset);
    this.putFree(offset, size);
  }

  /** Runs `use` with scratch blocks of the given sizes in bytes and releases them afterwards. */
  withScratch<T>(bytes: readonly number[], use: (...offsets: number[]) => T): T {
    const offsets: number[] = [];
    try {
      for (const size of bytes) offsets.push(this.allocate(size));
      return use(...offsets);
    } finally {
      for (const offset of offsets) this.release(offset);
    }
  }

  /** Views are of the moment: growth leaves older ones shorter than the memory, though still valid. */
  float32(offset: number, length: number): Float32Array<ArrayBufferLike> {
    return new Float32Array(this.memory.buffer, offset, length);
  }

  float64(offset: number, length: number): Float64Array<ArrayBufferLike> {
    return new Float64Array(this.memory.buffer, offset, length);
  }

  int32(offset: number, length: number): Int32Array<ArrayBufferLike> {
    return new Int32Array(this.memory.buffer, offset, length);
  }

  uint8(offset: number, length: number): Uint8Array<ArrayBufferLike> {
    return new Uint8Array(this.memory.buffer, offset, length);
  }

  private takeFree(size: number): number | undefined {
    const offset = this.free.get(size)?.pop();
    if (offset !== undefined) this.freeBytes -= size;
    return offset;
  }

  private putFree(offset: number, size: number): void {
    const blocks = this.free.get(size);
    if (blocks) blocks.push(offset);
    else this.free.set(size, [offset]);
    this.freeBytes += size;
  }

  private takeTop(size: number, bytes: number): number | undefined {
    if (this.top + size > bytes - MARGIN) return undefined;
    const offset = this.top;
    this.top += size;
    return offset;
  }

  /** Cuts the request from the smallest free block that holds it: there is one as long as what was joined lasts. */
  private takeCut(size: number): number | undefined {
    let best = Infinity;
    for (const [free, offsets] of this.free)
      if (free > size && free < best && offsets.length > 0) best = free;
    const offset = this.takeFree(best);
    if (offset !== undefined) this.putFree(offset + size, best - size);
    return offset;
  }

  /** Joins neighbouring free blocks, returns those at the top, and cuts the request from the smallest that holds it. */
  private takeJoined(size: number): number | undefined {
    if (this.freeBytes < size) return undefined;
    const blocks = [...this.free].flatMap(([s, offsets]) => offsets.map((offset) => ({ offset, size: s })));
    blocks.sort((a, b) => a.offset - b.offset);
    const joined: typeof blocks = [];
    for (const block of blocks) {
      const last = joined.at(-1);
      if (last && last.offset + last.size === block.offset) last.size += block.size;
      else joined.push(block);
    }
    const last = joined.at(-1);
    if (last && last.offset + last.size === this.top) {
      this.top = last.offset;
      joined.pop();
    }
    const best = joined
      .filter((block) => block.size >= size)
      .reduce<(typeof blocks)[0] | undefined>((a, b) => (a && a.size <= b.size ? a : b), undefined);
    this.free.clear();
    this.freeBytes = 0;
    for (const block of joined) {
      const taken = block === best ? size : 0;
      if (block.size > taken) this.putFree(block.offset + taken, block.size - taken);
    }
    return best?.offset ?? this.takeTop(size, this.memory.buffer.byteLength);
  }

  private takeGrown(size: number): number | undefined {
    const now = this.memory.buffer.byteLength / PAGE;
    const needed = Math.ceil((this.top + size + MARGIN) / PAGE);
    if (needed > this.maximumPages) return undefined;
    // In steps of an eighth, so that a network's first pass does not grow the memory tensor by tensor.
    const wanted = Math.min(this.maximumPages, Math.max(needed, Math.ceil(now * 1.125), now + 256));
    for (const pages of [wanted, needed]) {
      try {
        this.memory.grow(pages - now);
        return this.takeTop(size, this.memory.buffer.byteLength);
      } catch {
        // The operating system gave less than the engine may address: try the bare need, then say so.
      }
    }
    return undefined;
  }

  private fullMessage(bytes: number): string {
    const mebibytes = (n: number) => `${Math.ceil(n / 2 ** 20)} MiB`;
    return (
      `This step does not fit the engine's memory: ${mebibytes(bytes)} were asked for, ` +
      `${mebibytes(this.bytesInUse)} of at most ${mebibytes(this.maximumPages * PAGE)} are in use. ` +
      'Compute fewer volumes at once (--micro-batch, which accumulates gradients, or --batch), keep less ' +
      '(--checkpoint-activations), or use a smaller grid (--shape, --spacing) or a narrower network (--width).'
    );
  }
}

/** What a block of so many bytes takes. */
export function sizeClass(bytes: number): number {
  const size = Math.max(bytes, ALIGNMENT);
  const step = Math.max(ALIGNMENT, 2 ** (Math.floor(Math.log2(size)) - 3));
  return Math.ceil(size / step) * step;
}
