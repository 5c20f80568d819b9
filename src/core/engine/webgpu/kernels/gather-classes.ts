import type { ConvGeometry } from '../../wasm/conv-geometry';

/** Which positions of a result along one axis read which taps: see {@link gatherProductText}. */
export interface AxisClass {
  readonly start: number;
  readonly count: number;
  readonly origin: number;
  readonly taps: number;
  readonly firstTap: number;
  readonly tapIncrement: number;
  readonly tapStep: number;
}

/** Along each axis the result's step and the gathered grid's, and all classes of rows. */
export interface Gather {
  readonly step: readonly number[];
  readonly scale: readonly number[];
  readonly classes: readonly (readonly AxisClass[])[];
}

/** A convolution: every position reads every tap. */
export function forwardGather(g: ConvGeometry): Gather {
  const axes = [0, 1, 2].map((a) => ({
    start: 0,
    count: g.output[a],
    origin: -g.padding[a],
    taps: g.kernel[a],
    firstTap: 0,
    tapIncrement: 1,
    tapStep: g.dilation[a],
  }));
  return { step: [1, 1, 1], scale: [...g.stride], classes: [axes] };
}

/**
 * The gradient of the input: dx[i] sums dy[o] with o * stride = i + padding - tap * dilation. By the remainder of
 * i + padding by the stride, only taps of the same remainder reach i, and among neighbours of one class o moves by 1.
 */
export function backwardGather(g: ConvGeometry): Gather {
  const [d, h, w] = [0, 1, 2].map((a) => axisClasses(g, a));
  const classes = d.flatMap((x) => h.flatMap((y) => w.map((z) => [x, y, z])));
  return { step: [...g.stride], scale: [1, 1, 1], classes };
}

function axisClasses(g: ConvGeometry, a: number): AxisClass[] {
  const [stride, padding, dilation, kernel] = [g.stride[a], g.padding[a], g.dilation[a], g.kernel[a]];
  const size = g.input[a];
  return Array.from({ length: Math.min(stride, size) }, (_, start) => {
    const remainder = (start + padding) % stride;
    const reaching = Array.from({ length: kernel }, (__, tap) => tap).filter(
      (tap) => (tap * dilation) % stride === remainder,
    );
    const firstTap = reaching[0] ?? 0;
    const tapIncrement = (reaching[1] ?? firstTap) - firstTap;
    return {
      start,
      count: Math.ceil((size - start) / stride),
      origin: (start + padding - firstTap * dilation) / stride,
      taps: reaching.length,
      firstTap,
      tapIncrement,
      tapStep: -(tapIncrement * dilation) / stride,
    };
  }).map((axis) => (axis.taps > 0 ? axis : { ...axis, origin: 0, tapStep: 0 }));
}
