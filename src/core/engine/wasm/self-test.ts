import { Random } from '../../random';
import { outputSize, type ConvAttrs, type Triple } from '../ops/kernels';
import type { ConvGeometry, ConvPass } from './conv-geometry';
import { algorithmsFor, type Algorithm } from './conv-plan';
import { convolve, convolveFilterGradient, convolveInputGradient } from './convolution';
import type { Machine } from './machine';
import { applyAffine, channelMoments, normFactor } from './normalisation';
import { convReference, convSizes, relativeError } from './reference';

/** Single precision, sums of a few hundred terms: anything beyond is a wrong kernel, not rounding. */
const TOLERANCE = 1e-5;
export const TIMING_MS = 50;

/** Geometry of a convolution from the sizes that one writes down. */
export function geometryOf(
  batch: number,
  input: Triple,
  channels: readonly [number, number],
  kernel: Triple,
  attrs: ConvAttrs,
): ConvGeometry {
  const out = (a: number) =>
    outputSize(input[a], kernel[a], attrs.stride[a], attrs.padding[a], attrs.dilation[a]);
  return {
    batch,
    input,
    inChannels: channels[0],
    output: [out(0), out(1), out(2)],
    outChannels: channels[1],
    kernel,
    ...attrs,
  };
}

/** Small, odd and unlike: parts of panels, borders on every side, strides, dilation, a stem. */
const TRIALS: readonly ConvGeometry[] = [
  geometryOf(2, [5, 4, 7], [6, 17], [3, 3, 3], {
    stride: [1, 1, 1],
    padding: [1, 1, 1],
    dilation: [1, 1, 1],
  }),
  geometryOf(1, [5, 6, 7], [16, 16], [3, 2, 3], {
    stride: [1, 2, 2],
    padding: [2, 0, 1],
    dilation: [2, 1, 1],
  }),
  geometryOf(1, [6, 7, 8], [1, 8], [3, 3, 7], { stride: [1, 2, 2], padding: [1, 1, 3], dilation: [1, 1, 1] }),
];

export interface SelfTest {
  readonly ok: boolean;
  /** What was compared, or where it went wrong. */
  readonly detail: string;
}

/** Compares convolutions, their gradients and the statistics of batch normalisation with double precision. */
export function selfTest(machine: Machine): SelfTest {
  let worst = 0;
  for (const geometry of TRIALS)
    for (const [what, error] of convErrors(machine, geometry)) {
      if (!(error <= TOLERANCE))
        return { ok: false, detail: `${what} is off by ${error.toExponential(1)} of its largest value` };
      worst = Math.max(worst, error);
    }
  const error = normError(machine);
  if (!(error <= TOLERANCE))
    return { ok: false, detail: `batch normalisation is off by ${error.toExponential(1)}` };
  return {
    ok: true,
    detail: `largest error ${Math.max(worst, error).toExponential(1)} of the largest value`,
  };
}

/** Relative errors of y, dx and dfilter of one convolution on random numbers, by an algorithm where it serves the pass. */
export function convErrors(
  machine: Machine,
  g: ConvGeometry,
  seed = 1,
  algorithm?: Algorithm,
): [string, number][] {
  const { heap } = machine;
  const sizes = convSizes(g);
  const random = Random.seeded(seed);
  const fill = (length: number) => Float32Array.from({ length }, () => random.uniform() * 2 - 1);
  const [x, filter, dy] = [fill(sizes.x), fill(sizes.filter), fill(sizes.y)];
  const words = [sizes.x, sizes.filter, sizes.y, sizes.y, sizes.x, sizes.filter];
  return heap.withScratch(
    words.map((length) => length * 4),
    (xAt, filterAt, dyAt, yAt, dxAt, dfilterAt) => {
      heap.float32(xAt, sizes.x).set(x);
      heap.float32(filterAt, sizes.filter).set(filter);
      heap.float32(dyAt, sizes.y).set(dy);
      // What a kernel leaves unwritten must show.
      heap.float32(yAt, sizes.y).fill(NaN);
      heap.float32(dxAt, sizes.x).fill(NaN);
      heap.float32(dfilterAt, sizes.filter).fill(NaN);
      const by = (pass: ConvPass) =>
        algorithm && algorithmsFor(pass, g).includes(algorithm) ? algorithm : undefined;
      convolve(machine, g, xAt, filterAt, yAt, by('y'));
      convolveInputGradient(machine, g, dyAt, filterAt, dxAt, by('dx'));
      convolveFilterGradient(machine, g, xAt, dyAt, dfilterAt, by('dfilter'));
      return [
        ['a convolution', relativeError(heap.float32(yAt, sizes.y), convReference.y(g, x, filter))],
        [
          "a convolution's input gradient",
          relativeError(heap.float32(dxAt, sizes.x), convReference.dx(g, dy, filter)),
        ],
        [
          "a convolution's filter gradient",
          relativeError(heap.float32(dfilterAt, sizes.filter), convReference.dfilter(g, x, dy)),
        ],
      ];
    },
  );
}

function normError(machine: Machine): number {
  const { heap } = machine;
  const shape = { rows: 97, channels: 7 };
  const count = shape.rows * shape.channels;
  const random = Random.seeded(2);
  const x = Float32Array.from({ length: count }, () => random.uniform() + 3);
  const bytes = [count * 4, count * 4, ...new Array<number>(4).fill(shape.channels * 4)];
  return heap.withScratch(bytes, (xAt, yAt, mean, variance, factor, offset) => {
    heap.float32(xAt, count).set(x);
    channelMoments(machine, shape, xAt, { mean, variance });
    // Before its own turn, gamma lies where the factor will.
    heap.float32(factor, shape.channels).fill(1);
    heap.float32(offset, shape.channels).fill(0);
    normFactor(machine, shape.channels, factor, variance, 0, factor);
    applyAffine(machine, shape, { x: xAt, residual: 0, y: yAt }, { mean, factor, offset }, false);
    const y = heap.float32(yAt, count);
    const reference = Float64Array.from(x, (_, i) => {
      const column = x.filter((__, j) => j % shape.channels === i % shape.channels);
      const m = column.reduce((a, b) => a + b, 0) / shape.rows;
      const v = column.reduce((a, b) => a + (b - m) ** 2, 0) / shape.rows;
      return (x[i] - m) / Math.sqrt(v);
    });
    return relativeError(y, reference);
  });
}

/** Multiply-adds of a convolution, twice: its floating-point operations. */
export function convFlops(g: ConvGeometry): number {
  const { y } = convSizes(g);
  return 2 * y * g.kernel[0] * g.kernel[1] * g.kernel[2] * g.inChannels;
}

/** GFLOP/s of a 3 x 3 x 3 convolution of 64 channels: the best of what fits into a moment. */
export function timeConvolution(machine: Machine, milliseconds = TIMING_MS): number {
  const ones = { stride: [1, 1, 1], padding: [1, 1, 1], dilation: [1, 1, 1] } as const;
  const g = geometryOf(1, [12, 12, 12], [64, 64], [3, 3, 3], ones);
  const sizes = convSizes(g);
  return machine.heap.withScratch([sizes.x * 4, sizes.filter * 4, sizes.y * 4], (x, filter, y) => {
    machine.heap.float32(x, sizes.x).fill(0.5);
    machine.heap.float32(filter, sizes.filter).fill(0.5);
    convolve(machine, g, x, filter, y);
    let best = Infinity;
    const end = performance.now() + milliseconds;
    do {
      const start = performance.now();
      convolve(machine, g, x, filter, y);
      best = Math.min(best, performance.now() - start);
    } while (performance.now() < end);
    return convFlops(g) / best / 1e6;
  });
}
