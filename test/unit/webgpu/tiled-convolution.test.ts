import { afterEach, expect, it } from 'vitest';
import type { Triple } from '../../../src/core/engine/ops/kernels';
import type { ConvGeometry } from '../../../src/core/engine/wasm/conv-geometry';
import { geometryOf } from '../../../src/core/engine/wasm/self-test';
import {
  choiceOf,
  choicesToTime,
  estimatedChoice,
} from '../../../src/core/engine/webgpu/kernels/conv-choice';
import { kernelSettings } from '../../../src/core/engine/webgpu/kernels/settings';
import { TILE_SIZES, tilesServe } from '../../../src/core/engine/webgpu/kernels/tiled-convolution';
import { Random } from '../../../src/core/random';
import { errors, everywhere, expectBelow, plain } from './convolution-errors';
import { gpuBackend, onSoftwareGpu } from './on-software-gpu';

/** Rounding of short convolutions, of the largest value: the engine promises 1e-4 of a network. */
const TOLERANCE = 2e-5;

/** Three taps along every axis, of random stride, padding and dilation: what tiles serve. */
function randomGeometry(random: Random): ConvGeometry {
  const each = (make: () => number): Triple => [make(), make(), make()];
  for (;;) {
    const stride = each(() => 1 + random.integer(2));
    const dilation = stride.map((s) => (s === 1 ? 1 + random.integer(4) : 1)) as unknown as Triple;
    const padding = dilation.map((d) => random.integer(d + 1)) as unknown as Triple;
    const channels = [4, 5, 8, 12, 20];
    const [from, to] = [channels[random.integer(5)], channels[random.integer(5)]];
    const size = each(() => 2 + random.integer(8));
    const g = geometryOf(1 + random.integer(2), size, [from, to], [3, 3, 3], { stride, padding, dilation });
    if (Math.min(...g.output) >= 1) return g;
  }
}

onSoftwareGpu('convolutions by tiles on the GPU', () => {
  afterEach(() => Reflect.deleteProperty(kernelSettings(gpuBackend()).plan, 'choose'));

  it.each(TILE_SIZES)('agree with double precision whatever the sizes, by tiles of %d', async (size) => {
    everywhere({ way: `tiles-${size}`, tile: 'small', parts: 1 });
    const random = Random.seeded(size);
    const named = geometryOf(2, [6, 9, 7], [8, 20], [3, 3, 3], plain);
    for (const g of [named, randomGeometry(random)]) expectBelow(await errors(g, size), TOLERANCE, g);
  });

  it('agree where tiles are taken in several goes, and give the same bits again', async () => {
    everywhere({ way: 'tiles-2', tile: 'small', parts: 1 });
    const { limits } = gpuBackend().device;
    const g = geometryOf(2, [6, 9, 7], [8, 20], [3, 3, 3], plain);
    const whole = await errors(g, 2);
    // 64 products of 28 channels: 50 tiles at a time, of 120.
    const { maxBufferSize } = limits;
    const small = { maxBufferSize, maxStorageBufferBindingSize: 50 * 64 * 28 * 4 };
    Object.defineProperty(gpuBackend().device, 'limits', { value: small, configurable: true });
    try {
      const first = await errors(g, 2);
      expectBelow(first, TOLERANCE, g);
      expect(await errors(g, 2)).toEqual(first);
      // The filter's gradient adds the goes up one after the other: other bits, or there was one.
      expect(first.dfilter).not.toBe(whole.dfilter);
    } finally {
      Reflect.deleteProperty(gpuBackend().device, 'limits');
    }
  });
});

it('tiles serve three taps, in single precision, and are chosen by timing alone', () => {
  const g = geometryOf(8, [24, 24, 24], [64, 64], [3, 3, 3], plain);
  const conv = { pass: 'y', g, precision: 'f32' } as const;
  expect(estimatedChoice(conv, {}).way).toBe('taps');
  const ways = (of: Parameters<typeof choicesToTime>[0]) => choicesToTime(of, {}).map(({ way }) => way);
  expect(ways(conv)).toEqual(expect.arrayContaining(['tiles-2', 'tiles-3', 'tiles-4']));
  expect(ways({ ...conv, precision: 'f16' }).some((way) => way.startsWith('tiles'))).toBe(false);
  // Over few positions their rounding would show.
  const few = { ...conv, g: geometryOf(1, [7, 7, 7], [64, 64], [3, 3, 3], plain) };
  expect(ways(few).some((way) => way.startsWith('tiles'))).toBe(false);
  const text = 'tiles-4 tall 1';
  expect(choiceOf(text, conv, {})).toEqual({ way: 'tiles-4', tile: 'tall', parts: 1 });
  expect(choiceOf('tiles-4 tall 2', conv, {})).toBeUndefined();
  expect(choiceOf(text, { ...conv, precision: 'f16' }, {})).toBeUndefined();
  expect(choiceOf(text, { ...conv, g: geometryOf(8, [9, 9, 9], [64, 64], [1, 1, 1], plain) }, {})).toBeUndefined(); // prettier-ignore
  // 216 products of 512 x 512 would take 226 MB, and the gradient's sums as much for every go.
  expect(tilesServe('y', geometryOf(8, [24, 24, 24], [512, 512], [3, 3, 3], plain), 4)).toBe(false);
  const many = geometryOf(8, [48, 48, 48], [256, 256], [3, 3, 3], plain);
  expect(tilesServe('y', many, 4)).toBe(true);
  expect(tilesServe('dfilter', many, 4)).toBe(false);
});
