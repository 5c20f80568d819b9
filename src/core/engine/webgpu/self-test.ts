import * as tf from '@tensorflow/tfjs-core';
import { Random } from '../../random';
import { conv3d, conv3dFilterGradient, conv3dInputGradient } from '../ops/conv3d';
import type { OpenedEngine } from '../opened-engine';
import type { ConvAttrs, Shape5, Triple } from '../ops/kernels';
import { batchNormTrain } from '../ops/norm';
import { convReference, relativeError } from '../wasm/reference';
import { convFlops, geometryOf } from '../wasm/self-test';

/** As of the wasm engine: beyond it a kernel is wrong, or the GPU reckons with less than single precision. */
const TOLERANCE = 1e-5;
const TIMING_MS = 50;

/**
 * Of half precision: operands are off by at most 2^-11 of themselves, products by 2^-10 and sums of four of them by as much
 * again. Errors of many products cancel as the products themselves do, so this is some 10^-3 of the largest result.
 */
const HALF_TOLERANCE = 5e-3;

interface Trial {
  readonly batch: number;
  readonly input: Triple;
  readonly channels: readonly [number, number];
  readonly kernel: Triple;
  readonly attrs: ConvAttrs;
}

const same = (n: number): Triple => [n, n, n];

/** Small, odd and unlike: borders on every side, a stride, a dilation, a stem, channels beyond one tile. */
const TRIALS: readonly Trial[] = [
  trial([5, 4, 7], [6, 17], same(3), { stride: same(1), padding: same(1), dilation: same(1) }),
  trial([5, 6, 7], [16, 72], [3, 2, 3], { stride: [1, 2, 2], padding: [1, 0, 1], dilation: same(1) }),
  trial([6, 5, 7], [8, 12], same(3), { stride: same(1), padding: same(2), dilation: same(2) }),
  trial([6, 7, 8], [1, 8], [3, 3, 7], { stride: [1, 2, 2], padding: [1, 1, 3], dilation: same(1) }),
];

function trial(input: Triple, channels: readonly [number, number], kernel: Triple, attrs: ConvAttrs): Trial {
  return { batch: 2, input, channels, kernel, attrs };
}

export interface GpuSelfTest {
  readonly ok: boolean;
  /** What was compared, or where it went wrong. */
  readonly detail: string;
  /** Of a 3 x 3 x 3 convolution. */
  readonly gflops: number;
}

/** What timing may take of a GPU's memory, and what a convolution borrows there. */
export interface TestRoom {
  /** Bytes; undefined: as much as there is. */
  readonly gpuMemory?: number;
  readonly scratchBytes?: OpenedEngine['scratchBytes'];
  /** The processor plays a GPU: it is slow however small a convolution is, and seconds of a large one tell nothing more. */
  readonly software?: boolean;
}

/** Compares convolutions, their gradients and batch normalisation on the open engine with double precision, and times. */
export async function gpuSelfTest(room: TestRoom = {}): Promise<GpuSelfTest> {
  let worst = 0;
  for (const one of TRIALS)
    for (const [what, error] of await convErrors(one)) {
      if (!(error <= TOLERANCE))
        return {
          ok: false,
          gflops: 0,
          detail: `${what} is off by ${error.toExponential(1)} of its largest value`,
        };
      worst = Math.max(worst, error);
    }
  const error = await normError();
  if (!(error <= TOLERANCE))
    return { ok: false, gflops: 0, detail: `batch normalisation is off by ${error.toExponential(1)}` };
  return {
    ok: true,
    gflops: await timeConvolution(room),
    detail: `largest error ${Math.max(worst, error).toExponential(1)} of the largest value`,
  };
}

/** As {@link gpuSelfTest} where the kernels multiply in half precision. */
export async function gpuHalfTest(room: TestRoom = {}): Promise<GpuSelfTest> {
  const wrong = (detail: string): GpuSelfTest => ({ ok: false, gflops: 0, detail });
  let worst = 0;
  for (const one of TRIALS)
    for (const [what, error] of await convErrors(one)) {
      if (!(error <= HALF_TOLERANCE))
        return wrong(`${what} is off by ${error.toExponential(1)} of its largest value`);
      worst = Math.max(worst, error);
    }
  if (await hidesOverflow())
    return wrong('numbers beyond its range do not become infinite, so that overflow goes unseen');
  return {
    ok: true,
    gflops: await timeConvolution(room),
    detail: `largest error ${worst.toExponential(1)} of the largest value`,
  };
}

/** Scaling the loss relies on it: what is beyond 65504 must not be cut off there. */
async function hidesOverflow(): Promise<boolean> {
  const attrs = { stride: same(1), padding: same(0), dilation: same(1) };
  const x = tf.fill([1, 1, 1, 1, 16], 1e6) as tf.Tensor5D;
  const filter = tf.fill([1, 1, 1, 16, 16], 1e-3) as tf.Tensor5D;
  const y = conv3d(x, filter, attrs);
  try {
    return (await y.data<'float32'>()).some(Number.isFinite);
  } finally {
    tf.dispose([x, filter, y]);
  }
}

async function convErrors({ batch, input, channels, kernel, attrs }: Trial): Promise<[string, number][]> {
  const g = geometryOf(batch, input, channels, kernel, attrs);
  const [xShape, filterShape, yShape] = [
    [batch, ...input, channels[0]],
    [...kernel, ...channels],
    [batch, ...g.output, channels[1]],
  ] as unknown as [Shape5, Shape5, Shape5];
  const random = Random.seeded(1);
  const fill = (shape: readonly number[]) =>
    Float32Array.from({ length: tf.util.sizeFromShape([...shape]) }, () => random.uniform() * 2 - 1);
  const [x, filter, dy] = [xShape, filterShape, yShape].map(fill);
  const tensors = [tensor(x, xShape), tensor(filter, filterShape), tensor(dy, yShape)];
  const [tx, tfilter, tdy] = tensors;
  const results = [
    conv3d(tx, tfilter, attrs),
    conv3dInputGradient(tdy, tfilter, attrs, xShape),
    conv3dFilterGradient(tx, tdy, attrs, filterShape),
  ];
  try {
    const [y, dx, dfilter] = await Promise.all(results.map((result) => result.data<'float32'>()));
    return [
      ['a convolution', relativeError(y, convReference.y(g, x, filter))],
      ["a convolution's input gradient", relativeError(dx, convReference.dx(g, dy, filter))],
      ["a convolution's filter gradient", relativeError(dfilter, convReference.dfilter(g, x, dy))],
    ];
  } finally {
    tf.dispose([...tensors, ...results]);
  }
}

async function normError(): Promise<number> {
  const [rows, channels, epsilon] = [5 * 6 * 7, 9, 1e-5];
  const random = Random.seeded(2);
  const x = Float32Array.from({ length: rows * channels }, () => random.uniform() + 3);
  const [gamma, beta] = [tf.ones([channels]) as tf.Tensor1D, tf.zeros([channels]) as tf.Tensor1D];
  const tx = tensor(x, [1, 5, 6, 7, channels]);
  const { y, mean, variance } = batchNormTrain(tx, gamma, beta, undefined, { epsilon, relu: false });
  try {
    const reference = Float64Array.from(x);
    for (let c = 0; c < channels; c++) {
      const column = x.filter((_, i) => i % channels === c);
      const m = column.reduce((a, b) => a + b, 0) / rows;
      const v = column.reduce((a, b) => a + (b - m) ** 2, 0) / rows;
      for (let i = c; i < x.length; i += channels) reference[i] = (x[i] - m) / Math.sqrt(v + epsilon);
    }
    return relativeError(await y.data<'float32'>(), reference);
  } finally {
    tf.dispose([tx, gamma, beta, y, mean, variance]);
  }
}

/** A convolution whose speed says something: [side, channels]. A small one does not fill a GPU, and is enough for the others. */
const SMALL = [8, 16] as const;
const LARGE = [32, 64] as const;

const ATTRS: ConvAttrs = { stride: same(1), padding: same(1), dilation: same(1) };

const timedGeometry = ([side, channels]: readonly [number, number]) =>
  geometryOf(1, same(side), [channels, channels], same(3), ATTRS);

/** GFLOP/s of a convolution that is as large as a GPU does in a moment, and as fits into what of it may be taken. */
async function timeConvolution({ gpuMemory = Infinity, scratchBytes, software }: TestRoom): Promise<number> {
  const small = await timed(SMALL);
  const fast = !software && small.ms <= TIMING_MS / 10;
  const borrowed = scratchBytes?.('y', timedGeometry(LARGE)) ?? 0;
  return fast && timedBytes(LARGE, borrowed) <= gpuMemory ? (await timed(LARGE)).gflops : small.gflops;
}

/** Bytes that timing holds at most, with a tenth for what is small: uniforms, what is left of the tests. */
function timedBytes([side, channels]: readonly [number, number], borrowed: number): number {
  return 1.1 * (4 * (2 * side ** 3 * channels + 27 * channels ** 2) + borrowed);
}

async function timed(size: readonly [number, number]): Promise<{ ms: number; gflops: number }> {
  const [side, channels] = size;
  const g = timedGeometry(size);
  const x = tf.fill([1, side, side, side, channels], 0.5) as tf.Tensor5D;
  const filter = tf.fill([3, 3, 3, channels, channels], 0.5) as tf.Tensor5D;
  const run = async (times: number): Promise<number> => {
    const start = performance.now();
    let last: tf.Tensor5D | undefined;
    for (let i = 0; i < times; i++) {
      last?.dispose();
      last = conv3d(x, filter, ATTRS);
    }
    const one = tf.slice(last as tf.Tensor5D, [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]);
    await one.data();
    tf.dispose([one, last as tf.Tensor5D]);
    return performance.now() - start;
  };
  try {
    await run(1);
    const once = await run(1);
    const times = Math.max(1, Math.min(200, Math.floor(TIMING_MS / once)));
    const ms = (await run(times)) / times;
    return { ms, gflops: Math.round(convFlops(g) / ms / 1e4) / 100 };
  } finally {
    tf.dispose([x, filter]);
  }
}

function tensor(values: Float32Array, shape: Shape5): tf.Tensor5D {
  return tf.tensor5d(values.slice(), [...shape] as [number, number, number, number, number]);
}
