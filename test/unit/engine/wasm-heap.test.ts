import { describe, expect, it } from 'vitest';
import { Random } from '../../../src/core/random';
import { Heap } from '../../../src/core/engine/wasm/heap';

const PAGE = 65_536;

function smallHeap(pages = 64): Heap {
  return new Heap(new WebAssembly.Memory({ initial: 8, maximum: pages, shared: true }), pages);
}

describe('heap', () => {
  it('hands out aligned blocks that do not overlap, whatever is released in between', () => {
    const heap = smallHeap();
    const random = Random.seeded(1);
    const live = new Map<number, number>();
    for (let i = 0; i < 2000; i++) {
      if (live.size > 0 && random.chance(0.5)) {
        const offset = [...live.keys()][random.integer(live.size)];
        heap.release(offset);
        live.delete(offset);
        continue;
      }
      const bytes = 1 + random.integer(20_000);
      const offset = heap.allocate(bytes);
      expect(offset % 64).toBe(0);
      for (const [other, length] of live)
        expect(offset + bytes <= other || other + length <= offset).toBe(true);
      live.set(offset, bytes);
    }
    for (const offset of live.keys()) heap.release(offset);
    expect(heap.bytesInUse).toBe(0);
  });

  it('uses a released block again for the same size, and does not grow for it', () => {
    const heap = smallHeap();
    const first = heap.allocate(100_000);
    const reserved = heap.bytesReserved;
    for (let i = 0; i < 100; i++) {
      heap.release(heap.allocate(50_000));
    }
    heap.release(first);
    expect(heap.allocate(100_000)).toBe(first);
    expect(heap.bytesReserved).toBe(reserved);
  });

  it('joins neighbouring free blocks before it refuses', () => {
    const heap = smallHeap(40);
    const blocks = Array.from({ length: 16 }, () => heap.allocate(2 * PAGE));
    for (const block of blocks) heap.release(block);
    // 32 pages lie free in blocks of two; only joined do they hold thirty.
    expect(heap.allocate(30 * PAGE)).toBeGreaterThan(0);
    expect(heap.bytesInUse).toBeGreaterThanOrEqual(30 * PAGE);
  });

  it('joins in the middle, too, and leaves the rest usable', () => {
    const heap = smallHeap(24);
    const [a, b, c] = [heap.allocate(4 * PAGE), heap.allocate(4 * PAGE), heap.allocate(4 * PAGE)];
    const end = heap.allocate(6 * PAGE);
    heap.release(a);
    heap.release(b);
    const joined = heap.allocate(7 * PAGE);
    expect(joined).toBe(a);
    const rest = heap.allocate(PAGE);
    expect(rest).toBe(joined + 7 * PAGE);
    for (const block of [c, end, joined, rest]) heap.release(block);
    expect(heap.bytesInUse).toBe(0);
  });

  it('cuts a larger block before it joins: the smallest that is large enough', () => {
    const heap = smallHeap(24);
    const [a, b] = [heap.allocate(8 * PAGE), heap.allocate(4 * PAGE)];
    const last = heap.allocate(6 * PAGE);
    heap.allocate(2 * PAGE);
    heap.release(a);
    heap.release(last);
    // Joined with nothing, the second lies between two that are in use.
    expect(heap.allocate(5 * PAGE)).toBe(last);
    expect(heap.allocate(5 * PAGE)).toBe(a);
    expect(heap.allocate(PAGE)).toBe(last + 5 * PAGE);
    heap.release(b);
    expect(heap.allocate(4 * PAGE)).toBe(b);
  });

  it('says in a sentence what does not fit, in which memory, and what to do', () => {
    const heap = smallHeap(32);
    heap.allocate(10 * PAGE);
    expect(() => heap.allocate(64 * PAGE)).toThrow(
      /^This step does not fit the engine's memory: 4 MiB were asked for, 1 MiB of at most 2 MiB are in use\. Compute fewer volumes at once \(--micro-batch/,
    );
  });

  it('refuses to release what it did not hand out', () => {
    const heap = smallHeap();
    const block = heap.allocate(10);
    heap.release(block);
    expect(() => heap.release(block)).toThrow(/released twice/);
  });

  it('releases scratch blocks when the work in between throws', () => {
    const heap = smallHeap();
    expect(() =>
      heap.withScratch([100, 200], () => {
        throw new Error('no');
      }),
    ).toThrow('no');
    expect(() => heap.withScratch([100, 1e9], () => undefined)).toThrow(/does not fit/);
    expect(heap.bytesInUse).toBe(0);
  });
});
