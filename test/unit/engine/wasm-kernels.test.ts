import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { closeEngine, openEngine } from '../../../src/core/engine/choose';
import { KERNELS, outputSize, type Shape5, type Triple } from '../../../src/core/engine/ops/kernels';
import { MODULES, compileModule } from '../../../src/core/engine/wasm/modules';
import { relativeError } from '../../../src/core/engine/wasm/reference';
import { Random } from '../../../src/core/random';

const SHAPES: readonly Shape5[] = [
  [2, 5, 4, 6, 16],
  [1, 1, 1, 1, 5],
  [3, 3, 7, 2, 17],
  [5, 4, 3, 5, 3],
  // Several blocks of partial sums, and a part of one.
  [1, 9, 14, 17, 33],
  [1, 41, 40, 42, 1],
];

const product = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

function random(length: number, seed: number, offset = 0): Float32Array {
  const stream = Random.seeded(seed);
  return Float32Array.from({ length }, () => offset + stream.uniform(-1, 1));
}

function run(name: string, inputs: Record<string, tf.Tensor>, attrs: object = {}): tf.Tensor[] {
  const result = tf
    .engine()
    .runKernel<tf.Tensor | tf.Tensor[]>(name, inputs, { ...attrs } as tf.NamedAttrMap);
  return Array.isArray(result) ? result : [result];
}

const tensor = (values: Float32Array | Int32Array, shape: readonly number[]) =>
  tf.tensor(values, [...shape], values instanceof Int32Array ? 'int32' : 'float32');

function expectClose(
  actual: tf.Tensor,
  reference: ArrayLike<number>,
  shape: readonly number[],
  tolerance = 3e-6,
): void {
  expect(actual.shape).toEqual([...shape]);
  expect(relativeError(actual.dataSync(), reference)).toBeLessThan(tolerance);
}

/** Equal to the last bit (0 and -0 apart). */
function expectEqual(actual: tf.Tensor, reference: Float32Array | Int32Array): void {
  const values = actual.dataSync();
  expect(values).toHaveLength(reference.length);
  expect(reference.findIndex((v, i) => v !== values[i])).toBe(-1);
}

/** Statistics and batch normalisation in double precision, by the definition. */
function normReference(
  x: Float32Array,
  gamma: Float32Array,
  beta: Float32Array,
  residual: Float32Array | undefined,
  relu: boolean,
) {
  const channels = gamma.length;
  const rows = x.length / channels;
  const mean = new Float64Array(channels);
  const variance = new Float64Array(channels);
  x.forEach((v, i) => (mean[i % channels] += v / rows));
  x.forEach((v, i) => (variance[i % channels] += (v - mean[i % channels]) ** 2 / rows));
  const y = Float64Array.from(x, (v, i) => {
    const c = i % channels;
    const linear =
      (gamma[c] * (v - mean[c])) / Math.sqrt(variance[c] + 1e-5) + beta[c] + (residual?.[i] ?? 0);
    return relu ? Math.max(linear, 0) : linear;
  });
  return { mean, variance, y };
}

/** Calls `visit` with every voxel of every window of a max pooling. */
function eachWindow(
  shape: Shape5,
  out: readonly number[],
  window: { size: Triple; stride: Triple; padding: Triple },
  visit: (y: number, x: number, position: number) => void,
): void {
  const [n, d, h, w, c] = shape;
  for (let y = 0; y < n * out[0] * out[1] * out[2] * c; y++) {
    const channel = y % c;
    let rest = Math.floor(y / c);
    const at = [0, 0, 0];
    for (const a of [2, 1, 0]) {
      at[a] = rest % out[a];
      rest = Math.floor(rest / out[a]);
    }
    for (let k = 0; k < product(window.size); k++) {
      const tap = [
        Math.floor(k / (window.size[1] * window.size[2])),
        Math.floor(k / window.size[2]) % window.size[1],
        k % window.size[2],
      ];
      const p = at.map((o, a) => o * window.stride[a] - window.padding[a] + tap[a]);
      if (p.some((i, a) => i < 0 || i >= [d, h, w][a])) continue;
      const position = (p[0] * h + p[1]) * w + p[2];
      visit(y, (rest * d * h * w + position) * c + channel, position);
    }
  }
}

for (const module of MODULES) {
  const result = compileModule(module);
  const skipped = 'reason' in result ? ` (skipped: ${result.reason})` : '';
  describe.skipIf('reason' in result)(`kernels of ${module.name}${skipped}`, () => {
    beforeAll(async () => {
      await openEngine({ module: module.name, threads: 2 });
      tf.engine().startScope();
    });
    afterAll(async () => {
      tf.engine().endScope();
      await closeEngine();
    });

    it.each(SHAPES)('batch normalisation in training on [%i, %i, %i, %i, %i]', (...shape) => {
      const count = product(shape);
      const channels = shape[4];
      const [x, residual] = [random(count, 1, 4), random(count, 2)];
      const [gamma, beta] = [random(channels, 3), random(channels, 4)];
      for (const relu of [false, true])
        for (const added of [undefined, residual]) {
          const expected = normReference(x, gamma, beta, added, relu);
          const inputs = {
            x: tensor(x, shape),
            gamma: tensor(gamma, [channels]),
            beta: tensor(beta, [channels]),
            ...(added && { residual: tensor(added, shape) }),
          };
          const [y, mean, variance] = run(KERNELS.batchNormTrain, inputs, { epsilon: 1e-5, relu });
          expectClose(y, expected.y, shape);
          expectClose(mean, expected.mean, [channels]);
          expectClose(variance, expected.variance, [channels]);
        }
    });

    it.each(SHAPES)('the gradient of batch normalisation on [%i, %i, %i, %i, %i]', (...shape) => {
      const count = product(shape);
      const channels = shape[4];
      const rows = count / channels;
      const [x, dy, residual] = [random(count, 1, 2), random(count, 2), random(count, 5)];
      const [gamma, beta] = [random(channels, 3), random(channels, 4)];
      for (const relu of [false, true]) {
        const { mean, variance, y } = normReference(x, gamma, beta, residual, relu);
        const g = Float64Array.from(dy, (v, i) => (!relu || y[i] > 0 ? v : 0));
        const [dgamma, dbeta] = [new Float64Array(channels), new Float64Array(channels)];
        const normal = (i: number) => (x[i] - mean[i % channels]) / Math.sqrt(variance[i % channels] + 1e-5);
        g.forEach((v, i) => {
          dgamma[i % channels] += v * normal(i);
          dbeta[i % channels] += v;
        });
        const dx = g.map((v, i) => {
          const c = i % channels;
          return (
            (gamma[c] / Math.sqrt(variance[c] + 1e-5)) *
            (v - dbeta[c] / rows - (normal(i) * dgamma[c]) / rows)
          );
        });
        const float = (values: Float64Array) => Float32Array.from(values);
        const inputs = {
          dy: tensor(dy, shape),
          x: tensor(x, shape),
          y: tensor(float(y), shape),
          gamma: tensor(gamma, [channels]),
          mean: tensor(float(mean), [channels]),
          variance: tensor(float(variance), [channels]),
        };
        const outputs = run(KERNELS.batchNormTrainGradient, inputs, { epsilon: 1e-5, relu, residual: true });
        // One voxel per channel: the gradient is exactly zero and only rounding is left.
        if (rows > 1) expectClose(outputs[0], dx, shape, 1e-5);
        if (rows > 1) expectClose(outputs[1], dgamma, [channels], 1e-5);
        expectClose(outputs[2], dbeta, [channels]);
        expectClose(outputs[3], g, shape);
        expect(
          run(KERNELS.batchNormTrainGradient, inputs, { epsilon: 1e-5, relu, residual: false }),
        ).toHaveLength(3);
      }
    });

    it.each(SHAPES)('scale-shift and its gradient on [%i, %i, %i, %i, %i]', (...shape) => {
      const count = product(shape);
      const channels = shape[4];
      const [x, dy, residual] = [random(count, 1), random(count, 2), random(count, 3)];
      const [scale, shift] = [random(channels, 4), random(channels, 5)];
      for (const relu of [false, true]) {
        const linear = Float64Array.from(
          x,
          (v, i) => v * scale[i % channels] + shift[i % channels] + residual[i],
        );
        const expected = relu ? linear.map((v) => Math.max(v, 0)) : linear;
        const inputs = {
          x: tensor(x, shape),
          scale: tensor(scale, [channels]),
          shift: tensor(shift, [channels]),
          residual: tensor(residual, shape),
        };
        const [y] = run(KERNELS.scaleShift, inputs, { relu });
        expectClose(y, expected, shape);
        const g = Float64Array.from(dy, (v, i) => (!relu || expected[i] > 0 ? v : 0));
        const [dscale, dshift] = [new Float64Array(channels), new Float64Array(channels)];
        g.forEach((v, i) => {
          dscale[i % channels] += v * x[i];
          dshift[i % channels] += v;
        });
        const outputs = run(
          KERNELS.scaleShiftGradient,
          { dy: tensor(dy, shape), x: inputs.x, y, scale: inputs.scale },
          { relu, residual: true },
        );
        expectClose(
          outputs[0],
          g.map((v, i) => v * scale[i % channels]),
          shape,
        );
        expectClose(outputs[1], dscale, [channels]);
        expectClose(outputs[2], dshift, [channels]);
        expectClose(outputs[3], g, shape);
      }
    });

    it.each(SHAPES)('max pooling and its gradient on [%i, %i, %i, %i, %i]', (...shape) => {
      const [n, d, h, w, c] = shape;
      // Few distinct values, so that ties are common: the first in d, h, w order wins.
      const x = random(product(shape), 1).map((v) => Math.round(v * 4) - 9);
      const windows: { size: Triple; stride: Triple; padding: Triple }[] = [
        { size: [3, 3, 3], stride: [2, 2, 2], padding: [1, 1, 1] },
        { size: [2, 3, 1], stride: [1, 2, 3], padding: [1, 0, 0] },
      ];
      for (const window of windows) {
        const out = [d, h, w].map((size, a) =>
          outputSize(size, window.size[a], window.stride[a], window.padding[a]),
        );
        if (Math.min(...out) < 1) continue;
        const size = n * product(out) * c;
        const y = new Float64Array(size).fill(-Infinity);
        const indices = new Int32Array(size);
        const winner = new Int32Array(size);
        eachWindow(shape, out, window, (at, from, position) => {
          if (x[from] <= y[at]) return;
          [y[at], indices[at], winner[at]] = [x[from], position, from];
        });
        const outputs = run(KERNELS.maxPool3d, { x: tensor(x, shape) }, window);
        expectEqual(outputs[0], Float32Array.from(y));
        expectEqual(outputs[1], indices);
        expect(outputs[1].dtype).toBe('int32');
        const dy = random(size, 2);
        const dx = new Float64Array(x.length);
        dy.forEach((v, i) => (dx[winner[i]] += v));
        const [gradient] = run(
          KERNELS.maxPool3dGradient,
          { dy: tensor(dy, outputs[0].shape), indices: outputs[1] },
          { inputShape: shape, ...window },
        );
        expectClose(gradient, dx, shape);
      }
    });

    it('max pooling does not hide a NaN', () => {
      const x = random(27 * 4, 1);
      x[13 * 4 + 2] = NaN;
      const [y] = run(
        KERNELS.maxPool3d,
        { x: tensor(x, [1, 3, 3, 3, 4]) },
        { size: [3, 3, 3], stride: [1, 1, 1], padding: [0, 0, 0] },
      );
      expect([...y.dataSync()].map(Number.isNaN)).toEqual([false, false, true, false]);
    });

    it.each(SHAPES)('global average pooling and its gradient on [%i, %i, %i, %i, %i]', (...shape) => {
      const [n, d, h, w, c] = shape;
      const positions = d * h * w;
      const x = random(product(shape), 1, 1);
      const mean = new Float64Array(n * c);
      x.forEach((v, i) => (mean[Math.floor(i / (positions * c)) * c + (i % c)] += v / positions));
      const [y] = run(KERNELS.globalAveragePool, { x: tensor(x, shape) });
      expectClose(y, mean, [n, c]);
      const dy = random(n * c, 2);
      const [dx] = run(KERNELS.globalAveragePoolGradient, { dy: tensor(dy, [n, c]) }, { inputShape: shape });
      expectClose(
        dx,
        Float64Array.from(x, (_, i) => dy[Math.floor(i / (positions * c)) * c + (i % c)] / positions),
        shape,
      );
    });

    it.each(SHAPES)("shortcut A's subsampling and its gradient on [%i, %i, %i, %i, %i]", (...shape) => {
      const [n, d, h, w, c] = shape;
      const stride: Triple = [2, 1, 3];
      const channels = c + 3;
      const out: Shape5 = [n, Math.ceil(d / 2), h, Math.ceil(w / 3), channels];
      const x = random(product(shape), 1);
      const dy = random(product(out), 2);
      const y = new Float64Array(product(out));
      const dx = new Float64Array(x.length);
      for (let i = 0; i < x.length; i++) {
        const channel = i % c;
        const voxel = Math.floor(i / c);
        const at = [Math.floor(voxel / (w * h)) % d, Math.floor(voxel / w) % h, voxel % w];
        if (at.some((p, a) => p % stride[a] !== 0)) continue;
        const sample = Math.floor(voxel / (w * h * d));
        const to =
          (((sample * out[1] + at[0] / 2) * out[2] + at[1]) * out[3] + at[2] / 3) * channels + channel;
        y[to] = x[i];
        dx[i] = dy[to];
      }
      expectClose(run(KERNELS.subsamplePad, { x: tensor(x, shape) }, { stride, channels })[0], y, out);
      expectClose(
        run(KERNELS.subsamplePadGradient, { dy: tensor(dy, out) }, { stride, inputShape: shape })[0],
        dx,
        shape,
      );
    });

    it.each([1, 35, 70_003])("PyTorch's SGD and Adam steps in place on %i values", (count) => {
      const [value, gradient, velocity] = [random(count, 1), random(count, 2), random(count, 3)];
      for (const nesterov of [false, true]) {
        const attrs = { learningRate: 0.1, momentum: 0.9, weightDecay: 0.01, nesterov };
        const [v, s] = [tensor(value, [count]), tensor(velocity, [count])];
        run(KERNELS.sgdStep, { value: v, gradient: tensor(gradient, [count]), velocity: s }, attrs);
        const g = Float64Array.from(gradient, (x, i) => x + 0.01 * value[i]);
        const moved = g.map((x, i) => 0.9 * velocity[i] + x);
        expectClose(s, moved, [count]);
        expectClose(
          v,
          moved.map((m, i) => value[i] - 0.1 * (nesterov ? g[i] + 0.9 * m : m)),
          [count],
        );
      }
      const second = random(count, 4, 1);
      for (const decoupled of [false, true]) {
        const attrs = {
          learningRate: 0.1,
          beta1: 0.9,
          beta2: 0.99,
          epsilon: 1e-3,
          weightDecay: 0.02,
          decoupled,
          step: 3,
        };
        const [p, m, v] = [tensor(value, [count]), tensor(velocity, [count]), tensor(second, [count])];
        run(KERNELS.adamStep, { value: p, gradient: tensor(gradient, [count]), m, v }, attrs);
        const g = Float64Array.from(gradient, (x, i) => x + (decoupled ? 0 : 0.02 * value[i]));
        const m1 = g.map((x, i) => 0.9 * velocity[i] + 0.1 * x);
        const v1 = g.map((x, i) => 0.99 * second[i] + 0.01 * x * x);
        expectClose(m, m1, [count]);
        expectClose(v, v1, [count]);
        const corrected = (i: number) =>
          (0.1 * m1[i]) / (1 - 0.9 ** 3) / (Math.sqrt(v1[i] / (1 - 0.99 ** 3)) + 1e-3);
        expectClose(
          p,
          g.map((_, i) => value[i] * (decoupled ? 1 - 0.1 * 0.02 : 1) - corrected(i)),
          [count],
        );
      }
    });

    it.each([1, 7, 70_001])('add, multiply and relu of %i values', (count) => {
      const [a, b] = [random(count, 1), random(count, 2)];
      const [x, y] = [tensor(a, [count]), tensor(b, [count])];
      expectEqual(
        tf.add(x, y),
        a.map((v, i) => v + b[i]),
      );
      expectEqual(
        tf.mul(x, y),
        a.map((v, i) => v * b[i]),
      );
      expectEqual(
        tf.relu(x),
        a.map((v) => Math.max(v, 0)),
      );
    });
  });
}
