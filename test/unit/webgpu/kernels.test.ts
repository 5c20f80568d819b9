import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { KERNELS, outputSize, type Shape5, type Triple } from '../../../src/core/engine/ops/kernels';
import { unscale } from '../../../src/core/engine/ops/unscale';
import { averageTaps, denseMatrix, linearTaps, transposed } from '../../../src/core/engine/ops/taps';
import { relativeError } from '../../../src/core/engine/wasm/reference';
import { Random } from '../../../src/core/random';
import { onSoftwareGpu, run, tensor } from './on-software-gpu';

const SHAPES: readonly Shape5[] = [
  [2, 5, 4, 6, 16],
  [1, 1, 1, 1, 5],
  [3, 3, 7, 2, 17],
  // Fours of channels, and more than a workgroup takes.
  [5, 4, 3, 5, 72],
  // Several chunks of partial sums, several blocks of channels, and a part of each.
  [1, 9, 14, 17, 35],
];

const product = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

function values(length: number, seed: number, low = -1, high = 1): Float32Array {
  const stream = Random.seeded(seed);
  return Float32Array.from({ length }, () => stream.uniform(low, high));
}

async function expectClose(
  actual: tf.Tensor,
  reference: ArrayLike<number>,
  shape: readonly number[],
  tolerance = 3e-6,
): Promise<void> {
  expect(actual.shape).toEqual([...shape]);
  expect(relativeError(await actual.data(), reference)).toBeLessThan(tolerance);
}

/** Batch normalisation and its gradient in double precision, by the definition. */
function normReference(
  shape: Shape5,
  x: Float32Array,
  gamma: Float32Array,
  beta: Float32Array,
  residual: Float32Array | undefined,
  dy: Float32Array,
  relu: boolean,
  /** What passes the rectifier, where that was rounded elsewhere: at 0 it decides. */
  given?: ArrayLike<number>,
) {
  const channels = shape[4];
  const rows = x.length / channels;
  const zeros = () => new Float64Array(channels);
  const [mean, variance, first, second] = [zeros(), zeros(), zeros(), zeros()];
  x.forEach((v, i) => (mean[i % channels] += v / rows));
  x.forEach((v, i) => (variance[i % channels] += (v - mean[i % channels]) ** 2 / rows));
  const s = variance.map((v) => Math.sqrt(v + 1e-5));
  const linear = Float64Array.from(x, (v, i) => {
    const c = i % channels;
    return (gamma[c] * (v - mean[c])) / s[c] + beta[c] + (residual?.[i] ?? 0);
  });
  const y = relu ? linear.map((v) => Math.max(v, 0)) : linear;
  const g = Float64Array.from(dy, (v, i) => (relu && (given ?? y)[i] <= 0 ? 0 : v));
  g.forEach((v, i) => {
    const c = i % channels;
    first[c] += v;
    second[c] += v * (x[i] - mean[c]);
  });
  const dx = g.map((v, i) => {
    const c = i % channels;
    return (gamma[c] / s[c]) * (v - first[c] / rows - (((x[i] - mean[c]) / s[c] ** 2) * second[c]) / rows);
  });
  return { mean, variance, y, g, dx, dgamma: second.map((v, c) => v / s[c]), dbeta: first };
}

const WINDOWS = [
  { size: [3, 3, 3], stride: [2, 2, 2], padding: [1, 1, 1] },
  { size: [2, 1, 3], stride: [1, 2, 3], padding: [1, 0, 1] },
] as const satisfies readonly { size: Triple; stride: Triple; padding: Triple }[];

/** First maximum of every window, in d, h, w order. */
function poolReference(shape: Shape5, x: ArrayLike<number>, window: (typeof WINDOWS)[number]) {
  const [n, d, h, w, c] = shape;
  const out = [d, h, w].map((s, a) => outputSize(s, window.size[a], window.stride[a], window.padding[a]));
  const outShape: Shape5 = [n, out[0], out[1], out[2], c];
  const y = new Float32Array(product(outShape));
  const indices = new Int32Array(y.length);
  for (let i = 0; i < y.length; i++) {
    const voxel = Math.floor(i / c);
    const at = [
      Math.floor(voxel / (out[1] * out[2])) % out[0],
      Math.floor(voxel / out[2]) % out[1],
      voxel % out[2],
    ];
    const sample = Math.floor(voxel / product(out));
    let best = -Infinity;
    for (let k = 0; k < product(window.size); k++) {
      const tap = [
        Math.floor(k / (window.size[1] * window.size[2])),
        Math.floor(k / window.size[2]) % window.size[1],
        k % window.size[2],
      ];
      const p = at.map((o, a) => o * window.stride[a] - window.padding[a] + tap[a]);
      if (p.some((v, a) => v < 0 || v >= [d, h, w][a])) continue;
      const position = (p[0] * h + p[1]) * w + p[2];
      const value = x[(sample * d * h * w + position) * c + (i % c)];
      if (value > best) {
        best = value;
        indices[i] = position;
      }
    }
    y[i] = best;
  }
  return { outShape, y, indices };
}

function spreadReference(shape: Shape5, outShape: Shape5, dy: Float32Array, indices: ArrayLike<number>) {
  const [n, d, h, w, c] = shape;
  const dx = new Float64Array(product(shape));
  const perSample = product(outShape) / n;
  dy.forEach((v, i) => {
    if (indices[i] >= 0) dx[(Math.floor(i / perSample) * d * h * w + indices[i]) * c + (i % c)] += v;
  });
  return dx;
}

onSoftwareGpu('kernels on the GPU', () => {
  for (const [relu, withResidual, overwrite] of [
    [false, false, false],
    [true, false, true],
    [true, true, false],
    [true, true, true],
  ])
    it(`normalise a batch and give its gradients, relu ${relu}, residual ${withResidual}, overwrite ${overwrite}`, async () => {
      for (const shape of SHAPES) {
        const channels = shape[4];
        const size = product(shape);
        // Far from zero: sums of squares would lose all they know of the variance.
        const x = values(size, 1, 99, 101);
        const [gamma, beta] = [values(channels, 2, 0.5, 2), values(channels, 3)];
        const residual = withResidual ? values(size, 4) : undefined;
        const dy = values(size, 5);
        const expected = normReference(shape, x, gamma, beta, residual, dy, relu);
        const t = { x: tensor(x, shape), gamma: tf.tensor1d(gamma), beta: tf.tensor1d(beta) };
        const attrs = { epsilon: 1e-5, relu, overwrite };
        const inputs = residual ? { ...t, residual: tensor(residual, shape) } : t;
        const [y, mean, variance] = run(KERNELS.batchNormTrain, inputs, attrs);
        // x carries 24 bits around 100, so its deviations are known to 4e-6 and no better.
        const tolerance = size / channels === 1 ? 1e-2 : 3e-5;
        await expectClose(mean, expected.mean, [channels], 1e-6);
        await expectClose(variance, expected.variance, [channels], tolerance);
        await expectClose(y, expected.y, shape, tolerance);
        const again = {
          dy: tensor(dy, shape),
          x: tensor(x, shape),
          y,
          gamma: t.gamma,
          beta: t.beta,
          mean,
          variance,
        };
        const back = normReference(shape, x, gamma, beta, residual, dy, relu, await y.data());
        const results = run(KERNELS.batchNormTrainGradient, again, { ...attrs, residual: withResidual });
        expect(results).toHaveLength(withResidual ? 4 : 3);
        if (size / channels > 1) {
          await expectClose(results[0], back.dx, shape, 1e-4);
          await expectClose(results[1], back.dgamma, [channels], 1e-4);
        }
        await expectClose(results[2], back.dbeta, [channels], 1e-5);
        if (withResidual) await expectClose(results[3], back.g, shape);
      }
    });

  it('give the same bits again', async () => {
    const shape: Shape5 = [1, 9, 14, 17, 35];
    const x = tensor(values(product(shape), 1), shape);
    const [first] = run(KERNELS.channelSum, { x });
    const [second] = run(KERNELS.channelSum, { x });
    expect(await first.data()).toEqual(await second.data());
  });

  it('scale and shift, rectify, add a residual, and give the gradients; sum channels', async () => {
    for (const shape of SHAPES)
      for (const [relu, withResidual, overwrite] of [
        [false, true, true],
        [true, false, false],
      ]) {
        const channels = shape[4];
        const size = product(shape);
        const [x, r, dy] = [values(size, 1), values(size, 2), values(size, 3)];
        const [scale, shift] = [values(channels, 4), values(channels, 5)];
        const linear = Float64Array.from(
          x,
          (v, i) => v * scale[i % channels] + shift[i % channels] + (withResidual ? r[i] : 0),
        );
        const expected = relu ? linear.map((v) => Math.max(v, 0)) : linear;
        const t = { x: tensor(x, shape), scale: tf.tensor1d(scale), shift: tf.tensor1d(shift) };
        const inputs = withResidual ? { ...t, residual: tensor(r, shape) } : t;
        const [y] = run(KERNELS.scaleShift, inputs, { relu, overwrite });
        await expectClose(y, expected, shape);
        const g = dy.map((v, i) => (relu && expected[i] <= 0 ? 0 : v));
        const sum = (of: (i: number) => number) => {
          const sums = new Float64Array(channels);
          for (let i = 0; i < size; i++) sums[i % channels] += of(i);
          return sums;
        };
        const again = { dy: tensor(dy, shape), x: tensor(x, shape), y, scale: t.scale };
        const results = run(KERNELS.scaleShiftGradient, again, { relu, residual: withResidual });
        const dx = g.map((v, i) => v * scale[i % channels]);
        await expectClose(results[0], dx, shape);
        await expectClose(
          results[1],
          sum((i) => g[i] * x[i]),
          [channels],
          1e-5,
        );
        await expectClose(
          results[2],
          sum((i) => g[i]),
          [channels],
          1e-5,
        );
        if (withResidual) await expectClose(results[3], g, shape);
        const [channelSum] = run(KERNELS.channelSum, { x: tensor(x, shape) });
        await expectClose(
          channelSum,
          sum((i) => x[i]),
          [channels],
          1e-5,
        );
      }
  });

  it('pool maxima with their indices, the first of equal ones, and spread gradients back', async () => {
    for (const shape of SHAPES)
      for (const window of WINDOWS) {
        // Few values: ties are common.
        const x = values(product(shape), 1).map((v) => Math.round(3 * v));
        const expected = poolReference(shape, x, window);
        const [y, indices] = run(KERNELS.maxPool3d, { x: tensor(x, shape) }, window);
        expect(y.shape).toEqual(expected.outShape);
        expect(await y.data()).toEqual(expected.y);
        expect(await indices.data()).toEqual(expected.indices);
        const dy = values(expected.y.length, 2);
        const [dx] = run(
          KERNELS.maxPool3dGradient,
          { dy: tensor(dy, expected.outShape), indices },
          { ...window, inputShape: shape },
        );
        await expectClose(dx, spreadReference(shape, expected.outShape, dy, expected.indices), shape);
      }
  });

  it('normalise, rectify and pool in one, with gradients', async () => {
    for (const shape of SHAPES)
      for (const overwrite of [false, true]) {
        if (product(shape) === shape[4]) continue;
        const [window] = WINDOWS;
        const channels = shape[4];
        const x = values(product(shape), 1);
        const [gamma, beta] = [values(channels, 2, 0.5, 2), values(channels, 3)];
        const none = new Float32Array(x.length);
        const normal = normReference(shape, x, gamma, beta, undefined, none, true);
        const expected = poolReference(shape, normal.y, window);
        const t = { x: tensor(x, shape), gamma: tf.tensor1d(gamma), beta: tf.tensor1d(beta) };
        const [y, indices, mean, variance] = run(KERNELS.normPool, t, { ...window, epsilon: 1e-5 });
        await expectClose(y, expected.y, expected.outShape);
        await expectClose(mean, normal.mean, [channels]);
        await expectClose(variance, normal.variance, [channels]);
        const at = expected.indices.map((index, i) => (expected.y[i] > 0 ? index : -1));
        expect(await indices.data()).toEqual(at);
        const dy = values(expected.y.length, 4);
        const spread = Float32Array.from(spreadReference(shape, expected.outShape, dy, at));
        const gradient = normReference(shape, x, gamma, beta, undefined, spread, false);
        const again = { dy: tensor(dy, expected.outShape), x: t.x, indices, gamma: t.gamma, mean, variance };
        const attrs = { ...window, epsilon: 1e-5, overwrite };
        const [dx, dgamma, dbeta] = run(KERNELS.normPoolGradient, again, attrs);
        await expectClose(dx, gradient.dx, shape, 1e-5);
        await expectClose(dgamma, gradient.dgamma, [channels], 1e-5);
        await expectClose(dbeta, gradient.dbeta, [channels], 1e-5);
      }
  });

  it('scale, shift, rectify and pool in one', async () => {
    const [shape] = SHAPES;
    const [window] = WINDOWS;
    const x = values(product(shape), 1);
    const [scale, shift] = [values(shape[4], 2), values(shape[4], 3)];
    const linear = x.map((v, i) => Math.max(0, v * scale[i % shape[4]] + shift[i % shape[4]]));
    const expected = poolReference(shape, linear, window);
    const inputs = { x: tensor(x, shape), scale: tf.tensor1d(scale), shift: tf.tensor1d(shift) };
    const [y] = run(KERNELS.scaleShiftPool, inputs, window);
    await expectClose(y, expected.y, expected.outShape);
  });

  it('average over positions, and spread the gradient', async () => {
    for (const shape of SHAPES) {
      const [n, d, h, w, c] = shape;
      const x = values(product(shape), 1);
      const mean = new Float64Array(n * c);
      x.forEach((v, i) => (mean[Math.floor(i / (d * h * w * c)) * c + (i % c)] += v / (d * h * w)));
      const [y] = run(KERNELS.globalAveragePool, { x: tensor(x, shape) });
      await expectClose(y, mean, [n, c], 1e-5);
      const dy = values(n * c, 2);
      const spread = x.map((_, i) => dy[Math.floor(i / (d * h * w * c)) * c + (i % c)] / (d * h * w));
      const [dx] = run(KERNELS.globalAveragePoolGradient, { dy: tensor(dy, [n, c]) }, { inputShape: shape });
      await expectClose(dx, spread, shape);
    }
  });

  it('take every stride-th voxel and append channels, and the reverse', async () => {
    const stride: Triple = [2, 1, 3];
    for (const shape of SHAPES) {
      const [n, d, h, w, c] = shape;
      const channels = c + 3;
      const outShape = [n, Math.ceil(d / 2), h, Math.ceil(w / 3), channels];
      const x = values(product(shape), 1);
      const y = new Float32Array(product(outShape));
      const dy = values(y.length, 2);
      const dx = new Float32Array(x.length);
      for (let i = 0; i < x.length; i++) {
        const voxel = Math.floor(i / c);
        const [b, at, row, column] = [Math.floor(voxel / (d * h * w)), Math.floor(voxel / (h * w)) % d, Math.floor(voxel / w) % h, voxel % w]; // prettier-ignore
        if (at % 2 || column % 3) continue;
        const o = (((b * outShape[1] + at / 2) * h + row) * outShape[3] + column / 3) * channels + (i % c);
        y[o] = x[i];
        dx[i] = dy[o];
      }
      const [kept] = run(KERNELS.subsamplePad, { x: tensor(x, shape) }, { stride, channels });
      await expectClose(kept, y, outShape, 1e-12);
      const attrs = { stride, inputShape: shape };
      const [back] = run(KERNELS.subsamplePadGradient, { dy: tensor(dy, outShape) }, attrs);
      await expectClose(back, dx, shape, 1e-12);
    }
  });

  it('resample along three axes by sparse taps', async () => {
    for (const shape of SHAPES) {
      const [n, d, h, w, c] = shape;
      const taps = [linearTaps(d, 2 * d + 1), averageTaps(h, h, 3, 1, 1), transposed(linearTaps(3, w))];
      const x = values(product(shape), 1);
      const [a, b, e] = taps.map(denseMatrix);
      const outShape = [n, taps[0].outputs, taps[1].outputs, taps[2].outputs, c];
      const y = Float64Array.from({ length: product(outShape) }, (_, i) => {
        const voxel = Math.floor(i / c);
        const o = [Math.floor(voxel / (outShape[2] * outShape[3])) % outShape[1], Math.floor(voxel / outShape[3]) % outShape[2], voxel % outShape[3]]; // prettier-ignore
        const sample = Math.floor(voxel / (outShape[1] * outShape[2] * outShape[3]));
        let sum = 0;
        for (let p = 0; p < d * h * w; p++) {
          const weight = a[o[0] * d + Math.floor(p / (h * w))] * b[o[1] * h + (Math.floor(p / w) % h)] * e[o[2] * w + (p % w)]; // prettier-ignore
          sum += weight * x[(sample * d * h * w + p) * c + (i % c)];
        }
        return sum;
      });
      const [resampled] = run(KERNELS.resample, { x: tensor(x, shape) }, { taps });
      await expectClose(resampled, y, outShape);
    }
  });

  it('give task probabilities, their sums and their gradient', async () => {
    const shape: Shape5 = [1, 11, 15, 14, 23];
    const [tasks, padded, codesCount] = [23, 24, 5];
    const rows = product(shape) / tasks;
    const z = values(product(shape), 1, -30, 30);
    const stream = Random.seeded(2);
    const codes = Int32Array.from({ length: rows }, () => stream.integer(codesCount));
    const members = Float32Array.from({ length: codesCount * padded }, (_, i) =>
      i % padded < tasks && stream.chance(0.4) ? 1 : 0,
    );
    const t = { codes: tensor(codes, [rows]), members: tensor(members, [codesCount, padded]) };
    const [p, sums] = run(KERNELS.taskProbabilities, { z: tensor(z, shape), ...t });
    const y = (i: number) => members[codes[Math.floor(i / tasks)] * padded + (i % tasks)];
    const expected = Float64Array.from(z, (v) => 1 / (1 + Math.exp(-v)));
    await expectClose(p, expected, shape);
    const byTask = [0, 1, 2, 3].map(() => new Float64Array(tasks));
    z.forEach((v, i) => {
      const terms = [Math.max(v, 0) - v * y(i) + Math.log1p(Math.exp(-Math.abs(v))), expected[i] * y(i), expected[i], y(i)]; // prettier-ignore
      terms.forEach((term, k) => (byTask[k][i % tasks] += term));
    });
    expect(sums.shape).toEqual([2, 4, padded]);
    const blocks = await sums.data();
    byTask.forEach((row, k) => {
      const found = row.map((_, task) => blocks[k * padded + task] + blocks[(4 + k) * padded + task]);
      expect(relativeError(found, row)).toBeLessThan(1e-5);
    });
    const factors = values(3 * padded, 3);
    run(KERNELS.taskGradient, { p, ...t, factors: tensor(factors, [3, padded]) });
    const gradient = expected.map((v, i) => {
      const task = i % tasks;
      return (
        factors[task] * (v - y(i)) +
        v * (1 - v) * (factors[padded + task] + factors[2 * padded + task] * y(i))
      );
    });
    await expectClose(p, gradient, shape, 1e-5);
  });

  it('step with SGD, with and without Nesterov, and add into sums', async () => {
    const [value, gradient, velocity] = [values(1001, 1), values(1001, 2), values(1001, 3)];
    for (const nesterov of [false, true]) {
      const t = {
        value: tf.tensor1d(value),
        gradient: tf.tensor1d(gradient),
        velocity: tf.tensor1d(velocity),
      };
      const attrs = { learningRate: 0.1, momentum: 0.9, weightDecay: 0.01, nesterov };
      expect(run(KERNELS.sgdStep, t, attrs)).toEqual([]);
      const decayed = Float64Array.from(gradient, (g, i) => g + 0.01 * value[i]);
      const moved = decayed.map((g, i) => 0.9 * velocity[i] + g);
      await expectClose(t.velocity, moved, [1001]);
      const stepped = moved.map((v, i) => value[i] - 0.1 * (nesterov ? decayed[i] + 0.9 * v : v));
      await expectClose(t.value, stepped, [1001]);
    }
    const [sum, term] = [tf.tensor1d(value), tf.tensor1d(gradient)];
    run(KERNELS.addInto, { sum, term });
    await expectClose(
      sum,
      value.map((v, i) => v + gradient[i]),
      [1001],
    );
    run(KERNELS.addInto, { sum: term, term });
    await expectClose(
      term,
      gradient.map((g) => 2 * g),
      [1001],
    );
  });

  it('step with Adam and AdamW', async () => {
    const [value, gradient, m, v] = [
      values(1001, 1),
      values(1001, 2),
      values(1001, 3),
      values(1001, 4, 0, 1),
    ];
    for (const decoupled of [false, true]) {
      const t = {
        value: tf.tensor1d(value),
        gradient: tf.tensor1d(gradient),
        m: tf.tensor1d(m),
        v: tf.tensor1d(v),
      };
      const step = 3;
      const attrs = {
        learningRate: 0.01,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weightDecay: 0.1,
        decoupled,
        step,
      };
      expect(run(KERNELS.adamStep, t, attrs)).toEqual([]);
      const g = Float64Array.from(gradient, (one, i) => one + (decoupled ? 0 : 0.1 * value[i]));
      const first = g.map((one, i) => 0.9 * m[i] + 0.1 * one);
      const second = g.map((one, i) => 0.999 * v[i] + 0.001 * one ** 2);
      await expectClose(t.m, first, [1001]);
      await expectClose(t.v, second, [1001]);
      const expected = first.map((one, i) => {
        const change = one / (1 - 0.9 ** step) / (Math.sqrt(second[i] / (1 - 0.999 ** step)) + 1e-8);
        return value[i] * (decoupled ? 1 - 0.01 * 0.1 : 1) - 0.01 * change;
      });
      await expectClose(t.value, expected, [1001]);
    }
  });

  it('take the scale off gradients and tell whether any left the range of numbers', async () => {
    for (const bad of [undefined, Infinity, -Infinity, NaN]) {
      const gradient = values(700, 1);
      const sound = tensor(gradient, [700]);
      const other = tf.tensor1d(bad === undefined ? [1] : [bad]);
      const found = unscale([sound, other], 1024);
      expect([...(await found.data())]).toEqual([bad === undefined ? 0 : 1]);
      await expectClose(
        sound,
        gradient.map((g) => g / 1024),
        [700],
      );
    }
  });
});
