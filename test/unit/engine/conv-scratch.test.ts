import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ConvPass } from '../../../src/core/engine/wasm/conv-geometry';
import { ALGORITHMS, algorithmsFor, type Algorithm } from '../../../src/core/engine/wasm/conv-plan';
import { scratchBytes, scratchBytesBy } from '../../../src/core/engine/wasm/conv-scratch';
import {
  convolve,
  convolveFilterGradient,
  convolveInputGradient,
} from '../../../src/core/engine/wasm/convolution';
import { Machine } from '../../../src/core/engine/wasm/machine';
import { compileModule, MODULES } from '../../../src/core/engine/wasm/modules';
import { convSizes } from '../../../src/core/engine/wasm/reference';
import { geometryOf } from '../../../src/core/engine/wasm/self-test';

const shapes = {
  'a block': geometryOf(2, [12, 11, 10], [32, 48], [3, 3, 3], {
    stride: [1, 1, 1],
    padding: [1, 1, 1],
    dilation: [1, 1, 1],
  }),
  'a wide block, dilated': geometryOf(1, [8, 8, 8], [160, 200], [3, 3, 3], {
    stride: [1, 1, 1],
    padding: [4, 4, 4],
    dilation: [4, 4, 4],
  }),
  'a strided block': geometryOf(2, [9, 9, 9], [20, 33], [3, 3, 3], {
    stride: [1, 2, 2],
    padding: [1, 1, 1],
    dilation: [1, 1, 1],
  }),
  'a stem of one channel': geometryOf(2, [20, 21, 22], [1, 16], [7, 7, 7], {
    stride: [1, 2, 2],
    padding: [3, 3, 3],
    dilation: [1, 1, 1],
  }),
  'a stem': geometryOf(1, [20, 21, 22], [2, 16], [7, 7, 7], {
    stride: [1, 2, 2],
    padding: [3, 3, 3],
    dilation: [1, 1, 1],
  }),
};

describe('working memory of convolutions', () => {
  let machine: Machine;
  beforeAll(async () => {
    const result = compileModule(MODULES.find(({ name }) => name === 'simd128-strict')!);
    if ('reason' in result) throw new Error(result.reason);
    machine = await Machine.open(result.compiled, 2, 8192);
  });
  afterAll(() => machine.close());

  /** Bytes that a pass takes of the heap beyond its operands. */
  function taken(pass: ConvPass, name: keyof typeof shapes, algorithm: Algorithm): number {
    const { heap } = machine;
    const g = shapes[name];
    const sizes = convSizes(g);
    return heap.withScratch([sizes.x * 4, sizes.filter * 4, sizes.y * 4], (x, filter, y) => {
      const before = heap.bytesInUse;
      let most = 0;
      const { withScratch } = heap;
      heap.withScratch = (bytes, use) =>
        withScratch.call(heap, bytes, (...offsets) => {
          most = Math.max(most, heap.bytesInUse - before);
          return use(...offsets);
        }) as never;
      try {
        if (pass === 'y') convolve(machine, g, x, filter, y, algorithm);
        else if (pass === 'dx') convolveInputGradient(machine, g, y, filter, x, algorithm);
        else convolveFilterGradient(machine, g, x, y, filter, algorithm);
      } finally {
        heap.withScratch = withScratch;
      }
      return most;
    });
  }

  it.each(Object.keys(shapes) as (keyof typeof shapes)[])('is not underestimated: %s', (name) => {
    const g = shapes[name];
    for (const pass of ['y', 'dx', 'dfilter'] as const)
      for (const algorithm of ALGORITHMS) {
        if (!algorithmsFor(pass, g).includes(algorithm)) continue;
        const what = `${pass} by ${algorithm}`;
        const bytes = taken(pass, name, algorithm);
        const estimated = scratchBytesBy(algorithm, pass, g, { threads: 2, panel: machine.panel });
        // The heap rounds up by an eighth at most.
        expect(bytes, what).toBeLessThanOrEqual(estimated * 1.125 + 4096);
        expect(bytes, what).toBeGreaterThan(estimated / 4);
      }
    expect(scratchBytes('y', g, { threads: 2 })).toBeGreaterThan(0);
  });

  it('stays bounded for the widest layers of a network', () => {
    const wide = geometryOf(4, [12, 12, 12], [512, 512], [3, 3, 3], {
      stride: [1, 1, 1],
      padding: [4, 4, 4],
      dilation: [4, 4, 4],
    });
    for (const pass of ['y', 'dx', 'dfilter'] as const)
      expect(scratchBytes(pass, wide, { threads: 2 })).toBeLessThan(600 * 2 ** 20);
  });
});
