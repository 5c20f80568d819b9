import { describe, expect, it } from 'vitest';
import type { Algorithm } from '../../../src/core/engine/wasm/conv-plan';
import {
  convolve,
  convolveFilterGradient,
  convolveInputGradient,
} from '../../../src/core/engine/wasm/convolution';
import { Machine } from '../../../src/core/engine/wasm/machine';
import { MODULES, compileModule } from '../../../src/core/engine/wasm/modules';
import { channelMoments } from '../../../src/core/engine/wasm/normalisation';
import { convSizes } from '../../../src/core/engine/wasm/reference';
import { geometryOf } from '../../../src/core/engine/wasm/self-test';

const strided = geometryOf(3, [11, 10, 9], [20, 33], [3, 3, 3], {
  stride: [1, 2, 1],
  padding: [1, 1, 1],
  dilation: [1, 1, 1],
});

const tiled = geometryOf(3, [11, 10, 9], [20, 33], [3, 3, 3], {
  stride: [1, 1, 1],
  padding: [1, 1, 1],
  dilation: [1, 1, 1],
});

/** With few threads each packs panels of its own, with many they share one packed filter. */
const wide = geometryOf(2, [2, 3, 4], [72, 268], [3, 3, 3], {
  stride: [1, 1, 1],
  padding: [1, 1, 1],
  dilation: [1, 1, 1],
});

/** Few tiles and a large filter: units of channels, which many threads cut into parts. */
const deep = geometryOf(1, [9, 8, 10], [112, 72], [3, 3, 3], {
  stride: [1, 1, 1],
  padding: [1, 1, 1],
  dilation: [1, 1, 1],
});

const stem = geometryOf(3, [11, 10, 9], [1, 20], [7, 7, 7], {
  stride: [1, 2, 2],
  padding: [3, 3, 3],
  dilation: [1, 1, 1],
});

/** Bits of y, dx, dfilter and of the statistics of x. */
async function compute(
  compiled: WebAssembly.Module,
  threads: number,
  algorithm: Algorithm,
  geometry = algorithm === 'direct' ? strided : tiled,
): Promise<string> {
  const machine = await Machine.open(compiled, threads, 4096);
  const { heap } = machine;
  const sizes = convSizes(geometry);
  const place = (n: number) => {
    const at = heap.allocate(n * 4);
    heap.float32(at, n).set(Float32Array.from({ length: n }, (_, i) => Math.sin(i * 0.37) + 1e-3 * i));
    return at;
  };
  const [x, filter, dy, y, dx, dfilter] = [
    sizes.x,
    sizes.filter,
    sizes.y,
    sizes.y,
    sizes.x,
    sizes.filter,
  ].map(place);
  convolve(machine, geometry, x, filter, y, algorithm);
  // Nobody asks for the gradient of a scan.
  if (algorithm !== 'depth') convolveInputGradient(machine, geometry, dy, filter, dx, algorithm);
  convolveFilterGradient(machine, geometry, x, dy, dfilter, algorithm);
  const [mean, variance] = [0, 1].map(() => place(geometry.inChannels));
  const shape = { rows: sizes.x / geometry.inChannels, channels: geometry.inChannels };
  channelMoments(machine, shape, x, { mean, variance });
  const bits = [
    heap.uint8(y, sizes.y * 4),
    heap.uint8(dx, sizes.x * 4),
    heap.uint8(dfilter, sizes.filter * 4),
    heap.uint8(mean, geometry.inChannels * 4),
    heap.uint8(variance, geometry.inChannels * 4),
  ].map((view) => Buffer.from(view.slice()).toString('base64'));
  await machine.close();
  return bits.join();
}

for (const module of MODULES) {
  const result = compileModule(module);
  const compiled = 'compiled' in result ? result.compiled : undefined;
  const skipped = 'reason' in result ? ` (skipped: ${result.reason})` : '';
  describe.skipIf(!compiled)(`${module.name}${skipped}`, () => {
    it.each(['direct', 'tiles-2', 'tiles-3', 'tiles-4'] as const)(
      'repeats every bit, and does not change one with the number of threads: %s',
      async (algorithm) => {
        const first = await compute(compiled!, 2, algorithm);
        expect(await compute(compiled!, 2, algorithm)).toBe(first);
        expect(await compute(compiled!, 1, algorithm)).toBe(first);
        expect(await compute(compiled!, 3, algorithm)).toBe(first);
      },
    );

    it('does not change a bit with the number of threads: a stem along the depth', async () => {
      const first = await compute(compiled!, 2, 'depth', stem);
      for (const threads of [1, 3]) expect(await compute(compiled!, threads, 'depth', stem)).toBe(first);
    });

    it('does not change a bit where the number of threads decides who packs the filter', async () => {
      const first = await compute(compiled!, 2, 'direct', wide);
      for (const threads of [1, 3, 16]) expect(await compute(compiled!, threads, 'direct', wide)).toBe(first);
    });

    it('does not change a bit where the number of threads decides how tiles are cut', async () => {
      const first = await compute(compiled!, 2, 'tiles-4', deep);
      for (const threads of [1, 3, 12])
        expect(await compute(compiled!, threads, 'tiles-4', deep)).toBe(first);
    });
  });
}
