import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { closeEngine, openEngine } from '../../../src/core/engine/choose';
import { addBias, biasGradient } from '../../../src/core/engine/ops/bias';
import {
  convTranspose3d,
  convTranspose3dGradient,
  convTransposeShape,
  type ConvTransposeAttrs,
} from '../../../src/core/engine/ops/conv-transpose';
import { outputSize, type Shape5, type Triple } from '../../../src/core/engine/ops/kernels';
import type { PoolAttrs } from '../../../src/core/engine/ops/pool';
import {
  averagePool3d,
  averagePool3dGradient,
  resizeTrilinear,
  resizeTrilinearGradient,
} from '../../../src/core/engine/ops/resample';
import { MODULES, compileModule } from '../../../src/core/engine/wasm/modules';
import { relativeError } from '../../../src/core/engine/wasm/reference';
import { Random } from '../../../src/core/random';
import { havePython, python } from '../../peers';

// What the decoders of segmentation networks need beside convolutions.

const TOLERANCE = 3e-6;
const product = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

function noise(length: number, seed: number): Float32Array {
  const random = Random.seeded(seed);
  return Float32Array.from({ length }, () => random.uniform(-1, 1));
}

const tensor5 = (values: Float32Array, shape: readonly number[]) =>
  tf.tensor5d(values, shape as [number, number, number, number, number]);

/** Calls `visit` with the five indices and the flat index of every element. */
function each(shape: Shape5, visit: (at: Shape5, flat: number) => void): void {
  let flat = 0;
  for (let n = 0; n < shape[0]; n++)
    for (let d = 0; d < shape[1]; d++)
      for (let h = 0; h < shape[2]; h++)
        for (let w = 0; w < shape[3]; w++) for (let c = 0; c < shape[4]; c++) visit([n, d, h, w, c], flat++);
}

const flatIndex = (shape: Shape5, [n, d, h, w, c]: Shape5) =>
  (((n * shape[1] + d) * shape[2] + h) * shape[3] + w) * shape[4] + c;

interface Transposed {
  readonly x: Shape5;
  readonly channels: number;
  readonly kernel: Triple;
  readonly attrs: ConvTransposeAttrs;
}

const ones: Triple = [1, 1, 1];
const TRANSPOSED: readonly Transposed[] = [
  {
    x: [2, 3, 4, 3, 8],
    channels: 5,
    kernel: [2, 2, 2],
    attrs: { stride: [2, 2, 2], padding: [0, 0, 0], dilation: ones, outputPadding: [0, 0, 0] },
  },
  {
    x: [1, 4, 3, 5, 17],
    channels: 16,
    kernel: [3, 3, 3],
    attrs: { stride: [2, 2, 2], padding: [1, 1, 1], dilation: ones, outputPadding: [1, 1, 1] },
  },
  {
    x: [3, 3, 1, 4, 3],
    channels: 2,
    kernel: [3, 2, 4],
    attrs: { stride: [1, 3, 2], padding: [1, 0, 1], dilation: [2, 1, 1], outputPadding: [0, 2, 1] },
  },
];

/** Every product of the definition, in double precision. */
function transposedReference(
  { x: shape, channels, kernel, attrs }: Transposed,
  x: Float32Array,
  filter: Float32Array,
) {
  const out = convTransposeShape(shape, [...kernel, channels, shape[4]], attrs);
  const y = new Float64Array(product(out));
  each(shape, (at, flat) => {
    for (let k = 0; k < product(kernel); k++) {
      const tap = [
        Math.floor(k / (kernel[1] * kernel[2])),
        Math.floor(k / kernel[2]) % kernel[1],
        k % kernel[2],
      ];
      const to = tap.map((t, a) => at[a + 1] * attrs.stride[a] - attrs.padding[a] + t * attrs.dilation[a]);
      if (to.some((p, a) => p < 0 || p >= out[a + 1])) continue;
      for (let c = 0; c < channels; c++)
        y[flatIndex(out, [at[0], to[0], to[1], to[2], c])] +=
          x[flat] * filter[(k * channels + c) * shape[4] + at[4]];
    }
  });
  return { out, y };
}

const RESIZES: readonly { readonly x: Shape5; readonly size: Triple }[] = [
  { x: [2, 3, 4, 5, 8], size: [6, 8, 10] },
  { x: [1, 5, 7, 6, 17], size: [3, 11, 6] },
  { x: [1, 1, 2, 9, 5], size: [4, 1, 4] },
];

function resizeReference(shape: Shape5, size: Triple, x: Float32Array): Float64Array {
  const out: Shape5 = [shape[0], ...size, shape[4]];
  const y = new Float64Array(product(out));
  each(out, (at, flat) => {
    const places = [0, 1, 2].map((a) => {
      const place = Math.max(0, ((at[a + 1] + 0.5) * shape[a + 1]) / size[a] - 0.5);
      const low = Math.floor(place);
      return { low, high: Math.min(low + 1, shape[a + 1] - 1), share: place - low };
    });
    for (let corner = 0; corner < 8; corner++) {
      const from = places.map(({ low, high }, a) => (corner & (1 << a) ? high : low));
      const weight = places.reduce((w, { share }, a) => w * (corner & (1 << a) ? share : 1 - share), 1);
      y[flat] += weight * x[flatIndex(shape, [at[0], from[0], from[1], from[2], at[4]])];
    }
  });
  return y;
}

const POOLS: readonly { readonly x: Shape5; readonly window: PoolAttrs }[] = [
  { x: [2, 5, 6, 4, 8], window: { size: [2, 2, 2], stride: [2, 2, 2], padding: [0, 0, 0] } },
  { x: [1, 5, 4, 7, 19], window: { size: [3, 3, 3], stride: [2, 1, 2], padding: [1, 1, 1] } },
  { x: [3, 4, 1, 6, 1], window: { size: [4, 1, 3], stride: [1, 1, 3], padding: [2, 0, 0] } },
];

function averageReference(shape: Shape5, { size, stride, padding }: PoolAttrs, x: Float32Array) {
  const grid = [0, 1, 2].map((a) => outputSize(shape[a + 1], size[a], stride[a], padding[a]));
  const out: Shape5 = [shape[0], grid[0], grid[1], grid[2], shape[4]];
  const y = new Float64Array(product(out));
  each(out, (at, flat) => {
    for (let k = 0; k < product(size); k++) {
      const tap = [Math.floor(k / (size[1] * size[2])), Math.floor(k / size[2]) % size[1], k % size[2]];
      const from = tap.map((t, a) => at[a + 1] * stride[a] - padding[a] + t);
      if (from.some((p, a) => p < 0 || p >= shape[a + 1])) continue;
      y[flat] += x[flatIndex(shape, [at[0], from[0], from[1], from[2], at[4]])] / product(size);
    }
  });
  return { out, y };
}

/**
 * The gradient of a map that is linear in x: along any direction u, the difference of what comes out, weighed with dy,
 * is the gradient's share of u, whatever the step.
 */
function expectGradient(
  map: (x: tf.Tensor5D) => tf.Tensor5D,
  x: Float32Array,
  shape: readonly number[],
  dy: Float32Array,
  gradient: tf.Tensor,
): void {
  expect(gradient.shape).toEqual([...shape]);
  const dx = gradient.dataSync<'float32'>();
  for (const seed of [11, 12, 13]) {
    const u = noise(x.length, seed);
    const shifted = (sign: number) =>
      map(
        tensor5(
          x.map((v, i) => v + sign * u[i]),
          shape,
        ),
      ).dataSync<'float32'>();
    const [plus, minus] = [shifted(1), shifted(-1)];
    const slope = dy.reduce((sum, g, i) => sum + (g * (plus[i] - minus[i])) / 2, 0);
    const foreseen = u.reduce((sum, v, i) => sum + v * dx[i], 0);
    const scale = Math.sqrt(dx.reduce((sum, v) => sum + v * v, 0));
    expect(Math.abs(slope - foreseen) / scale).toBeLessThan(1e-4);
  }
}

const engines = [
  ...MODULES.map((module) => ({ name: module.name, options: { module: module.name, threads: 2 } })),
  { name: 'compositions of tfjs operations', options: { engine: 'cpu' as const } },
];

for (const { name, options } of engines) {
  const module = MODULES.find((one) => one.name === name);
  const missing = module && 'reason' in compileModule(module);
  describe.skipIf(missing)(`decoder operations of ${name}`, () => {
    beforeAll(async () => {
      await openEngine(options);
      tf.engine().startScope();
    });
    afterAll(async () => {
      tf.engine().endScope();
      await closeEngine();
    });

    it.each(TRANSPOSED)('transposed convolution and its gradients, case %#', (one) => {
      // The composition has no convolution that is strided and dilated at once.
      if (!module && Math.max(...one.attrs.dilation) > 1) return;
      const filterShape: Shape5 = [...one.kernel, one.channels, one.x[4]];
      const [x, filter] = [noise(product(one.x), 1), noise(product(filterShape), 2)];
      const { out, y } = transposedReference(one, x, filter);
      const [tx, tfilter] = [tensor5(x, one.x), tensor5(filter, filterShape)];
      const result = convTranspose3d(tx, tfilter, one.attrs);
      expect(result.shape).toEqual([...out]);
      expect(relativeError(result.dataSync(), y)).toBeLessThan(TOLERANCE);
      const dy = noise(product(out), 3);
      const { dx, dfilter } = convTranspose3dGradient(tensor5(dy, out), tx, tfilter, one.attrs);
      expectGradient((v) => convTranspose3d(v, tfilter, one.attrs), x, one.x, dy, dx);
      expectGradient((v) => convTranspose3d(tx, v, one.attrs), filter, filterShape, dy, dfilter);
    });

    it.each(RESIZES)('trilinear resizing and its gradient, case %#', ({ x: shape, size }) => {
      const x = noise(product(shape), 1);
      const result = resizeTrilinear(tensor5(x, shape), size);
      expect(result.shape).toEqual([shape[0], ...size, shape[4]]);
      expect(relativeError(result.dataSync(), resizeReference(shape, size, x))).toBeLessThan(TOLERANCE);
      const dy = noise(result.size, 2);
      const dx = resizeTrilinearGradient(tensor5(dy, result.shape), shape);
      expectGradient((v) => resizeTrilinear(v, size), x, shape, dy, dx);
    });

    it.each(POOLS)('average pooling and its gradient, case %#', ({ x: shape, window }) => {
      const x = noise(product(shape), 1);
      const { out, y } = averageReference(shape, window, x);
      const result = averagePool3d(tensor5(x, shape), window);
      expect(result.shape).toEqual([...out]);
      expect(relativeError(result.dataSync(), y)).toBeLessThan(TOLERANCE);
      const dy = noise(y.length, 2);
      const dx = averagePool3dGradient(tensor5(dy, out), window, shape);
      expectGradient((v) => averagePool3d(v, window), x, shape, dy, dx);
    });

    it.each([[[2, 3, 4, 5, 17] as Shape5], [[1, 30, 31, 17, 8] as Shape5]])(
      'a bias and its gradient on %j',
      (shape) => {
        const channels = shape[4];
        const [x, bias] = [noise(product(shape), 1), noise(channels, 2)];
        const y = Float64Array.from(x, (v, i) => v + bias[i % channels]);
        const b = tf.tensor1d(bias);
        expect(relativeError(addBias(tensor5(x, shape), b).dataSync(), y)).toBeLessThan(TOLERANCE);
        const rectified = addBias(tensor5(x, shape), b, { relu: true, overwrite: true });
        expect(
          relativeError(
            rectified.dataSync(),
            y.map((v) => Math.max(0, v)),
          ),
        ).toBeLessThan(TOLERANCE);
        const sums = new Float64Array(channels);
        x.forEach((v, i) => (sums[i % channels] += v));
        expect(relativeError(biasGradient(tensor5(x, shape)).dataSync(), sums)).toBeLessThan(1e-5);
      },
    );

    it('refuse sizes that do not exist', () => {
      const x = tf.zeros([1, 3, 3, 3, 2]) as tf.Tensor5D;
      const attrs = TRANSPOSED[0].attrs;
      const filter = tf.zeros([2, 2, 2, 4, 3]) as tf.Tensor5D;
      expect(() => convTranspose3d(x, filter, attrs)).toThrow(
        /got 2 input channels, but its filter expects 3/,
      );
      const fitting = tf.zeros([2, 2, 2, 4, 2]) as tf.Tensor5D;
      expect(() => convTranspose3d(x, fitting, { ...attrs, outputPadding: [2, 0, 0] })).toThrow(
        /output padding .* must be smaller than its stride/,
      );
      expect(() => resizeTrilinear(x, [0, 3, 3])).toThrow(/cannot be resized to 0 x 3 x 3/);
      expect(() => averagePool3d(x, { size: [4, 1, 1], stride: ones, padding: [0, 0, 0] })).toThrow(
        /too small/,
      );
    });
  });
}

const TORCH = `
import json, sys
import torch
import torch.nn.functional as F

cases = json.load(sys.stdin)
answers = []

def first(values, shape):
    """NDHWC -> NCDHW"""
    return torch.tensor(values, dtype=torch.float64).reshape(shape).permute(0, 4, 1, 2, 3).contiguous().requires_grad_()

def last(t):
    return t.detach().permute(0, 2, 3, 4, 1).flatten().tolist()

for case in cases:
    x = first(case["values"], case["x"])
    if case["kind"] == "transposed":
        a = case["attrs"]
        # DHWIO -> PyTorch's [Ci, Co, kd, kh, kw]
        w = torch.tensor(case["filter"], dtype=torch.float64).reshape(case["filterShape"])
        w = w.permute(4, 3, 0, 1, 2).contiguous().requires_grad_()
        y = F.conv_transpose3d(x, w, None, a["stride"], a["padding"], a["outputPadding"], 1, a["dilation"])
    elif case["kind"] == "resize":
        y = F.interpolate(x, size=case["size"], mode="trilinear", align_corners=False)
    else:
        w = case["window"]
        y = F.avg_pool3d(x, w["size"], w["stride"], w["padding"])
    y.backward(first(case["dy"], [y.shape[0], *y.shape[2:], y.shape[1]]).detach())
    answer = {"y": last(y), "dx": last(x.grad)}
    if case["kind"] == "transposed":
        answer["dfilter"] = w.grad.permute(2, 3, 4, 1, 0).flatten().tolist()
    answers.append(answer)
json.dump(answers, sys.stdout)
`;

describe.skipIf(!havePython('torch'))('decoder operations, live against PyTorch', () => {
  beforeAll(() => openEngine({ threads: 2 }));
  afterAll(closeEngine);

  it('give its values and its gradients', () => {
    const cases: object[] = [];
    const ours: Record<string, ArrayLike<number>>[] = [];
    const list = (values: Float32Array) => Array.from(values);
    for (const one of TRANSPOSED) {
      const filterShape: Shape5 = [...one.kernel, one.channels, one.x[4]];
      const [values, filter] = [noise(product(one.x), 1), noise(product(filterShape), 2)];
      const [x, w] = [tensor5(values, one.x), tensor5(filter, filterShape)];
      const y = convTranspose3d(x, w, one.attrs);
      const dy = noise(y.size, 3);
      const { dx, dfilter } = convTranspose3dGradient(tensor5(dy, y.shape), x, w, one.attrs);
      cases.push({
        kind: 'transposed',
        ...one,
        values: list(values),
        filter: list(filter),
        filterShape,
        dy: list(dy),
      });
      ours.push({ y: y.dataSync(), dx: dx.dataSync(), dfilter: dfilter.dataSync() });
    }
    for (const { x: shape, size } of RESIZES) {
      const values = noise(product(shape), 1);
      const y = resizeTrilinear(tensor5(values, shape), size);
      const dy = noise(y.size, 3);
      const dx = resizeTrilinearGradient(tensor5(dy, y.shape), shape);
      cases.push({ kind: 'resize', x: shape, size, values: list(values), dy: list(dy) });
      ours.push({ y: y.dataSync(), dx: dx.dataSync() });
    }
    for (const { x: shape, window } of POOLS) {
      const values = noise(product(shape), 1);
      const y = averagePool3d(tensor5(values, shape), window);
      const dy = noise(y.size, 3);
      const dx = averagePool3dGradient(tensor5(dy, y.shape), window, shape);
      cases.push({ kind: 'average', x: shape, window, values: list(values), dy: list(dy) });
      ours.push({ y: y.dataSync(), dx: dx.dataSync() });
    }
    const answers = JSON.parse(python(TORCH, [], JSON.stringify(cases))) as Record<string, number[]>[];
    expect(answers).toHaveLength(cases.length);
    answers.forEach((answer, i) => {
      expect(Object.keys(answer)).toEqual(Object.keys(ours[i]));
      for (const [name, values] of Object.entries(answer))
        expect(relativeError(ours[i][name], values), `case ${i}, ${name}`).toBeLessThan(1e-5);
    });
  });
});
