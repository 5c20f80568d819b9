import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'vitest';
import { KERNELS } from '../../../src/core/engine/ops/kernels';
import type { ConvGeometry } from '../../../src/core/engine/wasm/conv-geometry';
import { convReference, convSizes, relativeError } from '../../../src/core/engine/wasm/reference';
import type { ConvChoice } from '../../../src/core/engine/webgpu/kernels/conv-choice';
import { kernelSettings } from '../../../src/core/engine/webgpu/kernels/settings';
import { Random } from '../../../src/core/random';
import { gpuBackend, run, tensor } from './on-software-gpu';

export const plain = { stride: [1, 1, 1], padding: [1, 1, 1], dilation: [1, 1, 1] } as const;

/** From -1 to 1; those that are whole in half precision are multiples of 1/64. */
const values = (length: number, random: Random, whole: boolean) =>
  Float32Array.from({ length }, () => {
    const value = random.uniform(-1, 1);
    return whole ? Math.round(64 * value) / 64 : value;
  });

/** Errors of the three passes against double precision, relative to the largest value. */
export async function errors(
  g: ConvGeometry,
  seed: number,
  { wholeInHalf = false } = {},
): Promise<Record<string, number>> {
  const random = Random.seeded(seed);
  const sizes = convSizes(g);
  const shapes = {
    x: [g.batch, ...g.input, g.inChannels],
    filter: [...g.kernel, g.inChannels, g.outChannels],
    y: [g.batch, ...g.output, g.outChannels],
  };
  const [x, filter, dy] = [sizes.x, sizes.filter, sizes.y].map((size) => values(size, random, wholeInHalf));
  const t = {
    x: tensor(x, shapes.x),
    filter: tensor(filter, shapes.filter),
    dy: tensor(dy, shapes.y),
  };
  const attrs = { stride: g.stride, padding: g.padding, dilation: g.dilation };
  const [y] = run(KERNELS.conv3d, { x: t.x, filter: t.filter }, attrs);
  const [dx] = run(
    KERNELS.conv3dInputGradient,
    { dy: t.dy, filter: t.filter },
    { ...attrs, inputShape: shapes.x },
  );
  const [dfilter] = run(
    KERNELS.conv3dFilterGradient,
    { x: t.x, dy: t.dy },
    { ...attrs, filterShape: shapes.filter },
  );
  expect(y.shape).toEqual(shapes.y);
  expect(dx.shape).toEqual(shapes.x);
  expect(dfilter.shape).toEqual(shapes.filter);
  const result = {
    y: relativeError(await y.data(), convReference.y(g, x, filter)),
    dx: relativeError(await dx.data(), convReference.dx(g, dy, filter)),
    dfilter: relativeError(await dfilter.data(), convReference.dfilter(g, x, dy)),
  };
  tf.dispose([...Object.values(t), y, dx, dfilter]);
  return result;
}

export function expectBelow(found: Record<string, number>, tolerance: number, g: ConvGeometry): void {
  for (const [pass, error] of Object.entries(found))
    expect(error, `${pass} of ${JSON.stringify(g)}`).toBeLessThan(tolerance);
}

/** Makes one choice for whatever convolution. */
export function everywhere(choice: ConvChoice): void {
  kernelSettings(gpuBackend()).plan.choose = () => choice;
}
