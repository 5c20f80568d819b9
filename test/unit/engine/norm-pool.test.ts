import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { closeEngine, openEngine } from '../../../src/core/engine/choose';
import { addInto } from '../../../src/core/engine/ops/add-into';
import type { Shape5, Triple } from '../../../src/core/engine/ops/kernels';
import { batchNormTrain, batchNormTrainGradient, scaleShift } from '../../../src/core/engine/ops/norm';
import { normPool, normPoolGradient, scaleShiftPool } from '../../../src/core/engine/ops/norm-pool';
import { maxPool3d, maxPool3dGradient } from '../../../src/core/engine/ops/pool';
import { MODULES, compileModule } from '../../../src/core/engine/wasm/modules';
import { Random } from '../../../src/core/random';

const EPSILON = 1e-5;
const WINDOWS: { size: Triple; stride: Triple; padding: Triple }[] = [
  { size: [3, 3, 3], stride: [2, 2, 2], padding: [1, 1, 1] },
  { size: [2, 3, 1], stride: [1, 2, 1], padding: [1, 0, 0] },
];
const SHAPES: readonly Shape5[] = [
  [2, 7, 6, 9, 16],
  [1, 5, 4, 5, 24],
  // No multiple of eight channels: composed of the separate kernels.
  [3, 4, 5, 6, 5],
  [1, 21, 23, 22, 8],
];

function noise<S extends Shape5 | [number]>(shape: S, seed: number): tf.Tensor {
  const random = Random.seeded(seed);
  const size = (shape as readonly number[]).reduce((a, b) => a * b, 1);
  return tf.tensor(
    Float32Array.from({ length: size }, () => random.uniform(-1, 1)),
    [...shape],
  );
}

function expectSame(actual: tf.Tensor, expected: tf.Tensor, what: string): void {
  expect(actual.shape, what).toEqual(expected.shape);
  const [a, b] = [actual.dataSync(), expected.dataSync()];
  expect(
    b.findIndex((v, i) => v !== a[i]),
    what,
  ).toBe(-1);
}

function expectClose(actual: tf.Tensor, expected: tf.Tensor, what: string): void {
  const [a, b] = [actual.dataSync(), expected.dataSync()];
  let [highest, error] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    highest = Math.max(highest, Math.abs(b[i]));
    error = Math.max(error, Math.abs(b[i] - a[i]));
  }
  expect(error / highest, what).toBeLessThan(2e-6);
}

for (const module of MODULES) {
  const result = compileModule(module);
  const skipped = 'reason' in result ? ` (skipped: ${result.reason})` : '';
  describe.skipIf('reason' in result)(`fused kernels of ${module.name}${skipped}`, () => {
    beforeAll(async () => {
      await openEngine({ module: module.name, threads: 2 });
      tf.engine().startScope();
    });
    afterAll(async () => {
      tf.engine().endScope();
      await closeEngine();
    });

    it.each(SHAPES)(
      'normalise, rectify and pool as one after the other does, [%i, %i, %i, %i, %i]',
      (...shape) => {
        const channels = shape[4];
        for (const window of WINDOWS) {
          const x = noise(shape, 1) as tf.Tensor5D;
          const gamma = noise([channels], 2) as tf.Tensor1D;
          const beta = noise([channels], 3) as tf.Tensor1D;
          const norm = { epsilon: EPSILON, relu: true };
          const apart = batchNormTrain(x, gamma, beta, undefined, norm);
          const pooled = maxPool3d(apart.y, window);
          const fused = normPool(x, gamma, beta, EPSILON, window);
          expectSame(fused.y, pooled.y, 'y');
          expectSame(fused.mean, apart.mean, 'mean');
          expectSame(fused.variance, apart.variance, 'variance');
          expectSame(
            scaleShiftPool(x, gamma, beta, window),
            maxPool3d(scaleShift(x, gamma, beta, undefined, true), window).y,
            'in evaluation',
          );

          const dy = noise(pooled.y.shape, 4) as tf.Tensor5D;
          const spread = maxPool3dGradient(dy, pooled.indices, shape, window);
          const attrs = { ...norm, residual: false };
          const expected = batchNormTrainGradient(spread, x, apart.y, gamma, beta, apart, attrs);
          for (const overwrite of [false, true]) {
            const options = { ...window, epsilon: EPSILON, overwrite };
            const gradient = normPoolGradient(dy, x, gamma, beta, fused, options);
            expectClose(gradient.dx, expected.dx, 'dx');
            expectClose(gradient.dgamma, expected.dgamma, 'dgamma');
            expectClose(gradient.dbeta, expected.dbeta, 'dbeta');
          }
        }
      },
    );

    it.each(SHAPES)(
      'let NaN and infinities through the pooling as one after the other does, [%i, %i, %i, %i, %i]',
      (...shape) => {
        const [n, d, h, w, channels] = shape;
        const random = Random.seeded(6);
        const odd = [NaN, Infinity, -Infinity, 0, -0];
        const values = Float32Array.from({ length: n * d * h * w * channels }, () =>
          random.chance(0.2) ? odd[random.integer(odd.length)] : random.uniform(-1, 1),
        );
        const x = tf.tensor5d(values, [...shape]);
        // One channel does not depend on x at all.
        const scale = tf.tensor1d(Float32Array.from({ length: channels }, (_, c) => (c % 5) - 2));
        const shift = noise([channels], 3) as tf.Tensor1D;
        for (const window of WINDOWS) {
          const pooled = scaleShiftPool(x, scale, shift, window);
          const expected = maxPool3d(scaleShift(x, scale, shift, undefined, true), window).y;
          expect(expected.dataSync().some(Number.isNaN)).toBe(true);
          expect(pooled.dataSync()).toEqual(expected.dataSync());
        }
      },
    );

    it.each(SHAPES)(
      'give the same gradients in the memory of what went in, [%i, %i, %i, %i, %i]',
      (...shape) => {
        const channels = shape[4];
        const gamma = noise([channels], 2) as tf.Tensor1D;
        const beta = noise([channels], 3) as tf.Tensor1D;
        for (const relu of [false, true])
          for (const residual of [false, true]) {
            const added = residual ? (noise(shape, 5) as tf.Tensor5D) : undefined;
            const compute = (overwrite: boolean) => {
              const x = noise(shape, 1) as tf.Tensor5D;
              const dy = noise(shape, 4) as tf.Tensor5D;
              const forward = batchNormTrain(x, gamma, beta, added, { epsilon: EPSILON, relu });
              const attrs = { epsilon: EPSILON, relu, residual, overwrite };
              return batchNormTrainGradient(dy, x, forward.y, gamma, beta, forward, attrs);
            };
            const [expected, actual] = [compute(false), compute(true)];
            expectSame(actual.dx, expected.dx, 'dx');
            expectSame(actual.dgamma, expected.dgamma, 'dgamma');
            expectSame(actual.dbeta, expected.dbeta, 'dbeta');
            if (residual) expectSame(actual.dresidual!, expected.dresidual!, 'dresidual');
            const x = noise(shape, 1) as tf.Tensor5D;
            const apart = scaleShift(x, gamma, beta, added, relu);
            expectSame(scaleShift(x, gamma, beta, added, relu, { overwrite: true }), apart, 'in evaluation');
          }
      },
    );

    it('add in place', () => {
      const [a, b] = [noise([70_001], 1), noise([70_001], 2)];
      const expected = tf.add(a, b);
      expectSame(addInto(a, b), expected, 'sum');
      expect(b.isDisposed).toBe(true);
    });

    it('keep the statistics of numbers far from zero', () => {
      // Deviations of 1 around 1e4: squares of the numbers themselves would leave nothing of the variance.
      const [rows, channels] = [6000, 9];
      const random = Random.seeded(9);
      const values = Float32Array.from({ length: rows * channels }, () => 1e4 + random.normal());
      const x = tf.tensor5d(values, [1, 10, 20, 30, channels]);
      const ones = tf.ones([channels]) as tf.Tensor1D;
      const { mean, variance } = batchNormTrain(x, ones, ones, undefined, { epsilon: EPSILON, relu: false });
      for (let c = 0; c < channels; c++) {
        let m = 0;
        for (let i = c; i < values.length; i += channels) m += values[i] / rows;
        let v = 0;
        for (let i = c; i < values.length; i += channels) v += (values[i] - m) ** 2 / rows;
        expect(Math.abs(mean.dataSync()[c] - m)).toBeLessThan(1e-3);
        expect(Math.abs(variance.dataSync()[c] / v - 1)).toBeLessThan(1e-6);
      }
    });
  });
}
