import type { ConvGeometry } from './conv-geometry';

type Numbers = ArrayLike<number>;

/** Calls `visit` for every product of a convolution: flat indices into y, x and filter. */
function eachProduct(g: ConvGeometry, visit: (y: number, x: number, filter: number) => void): void {
  const [od, oh, ow] = g.output;
  const [kd, kh, kw] = g.kernel;
  for (let n = 0; n < g.batch; n++)
    for (let position = 0; position < od * oh * ow; position++)
      for (let tap = 0; tap < kd * kh * kw; tap++) {
        const o = [Math.floor(position / (oh * ow)), Math.floor(position / ow) % oh, position % ow];
        const k = [Math.floor(tap / (kh * kw)), Math.floor(tap / kw) % kh, tap % kw];
        const i = o.map((at, a) => at * g.stride[a] - g.padding[a] + k[a] * g.dilation[a]);
        if (i.some((at, a) => at < 0 || at >= g.input[a])) continue;
        const y = (n * od * oh * ow + position) * g.outChannels;
        const x = (((n * g.input[0] + i[0]) * g.input[1] + i[1]) * g.input[2] + i[2]) * g.inChannels;
        for (let ci = 0; ci < g.inChannels; ci++)
          for (let co = 0; co < g.outChannels; co++)
            visit(y + co, x + ci, (tap * g.inChannels + ci) * g.outChannels + co);
      }
}

const product = (sizes: readonly number[]) => sizes.reduce((a, b) => a * b, 1);

/** Floats of x, filter and y. */
export function convSizes(g: ConvGeometry): { x: number; filter: number; y: number } {
  return {
    x: g.batch * product(g.input) * g.inChannels,
    filter: product(g.kernel) * g.inChannels * g.outChannels,
    y: g.batch * product(g.output) * g.outChannels,
  };
}

/** The definition of a convolution and its two gradients, in double precision: what kernels are held against. */
export const convReference = {
  y(g: ConvGeometry, x: Numbers, filter: Numbers): Float64Array {
    const y = new Float64Array(convSizes(g).y);
    eachProduct(g, (o, i, f) => (y[o] += x[i] * filter[f]));
    return y;
  },
  dx(g: ConvGeometry, dy: Numbers, filter: Numbers): Float64Array {
    const dx = new Float64Array(convSizes(g).x);
    eachProduct(g, (o, i, f) => (dx[i] += dy[o] * filter[f]));
    return dx;
  },
  dfilter(g: ConvGeometry, x: Numbers, dy: Numbers): Float64Array {
    const dfilter = new Float64Array(convSizes(g).filter);
    eachProduct(g, (o, i, f) => (dfilter[f] += x[i] * dy[o]));
    return dfilter;
  },
};

/** Largest difference over the largest reference value; NaN anywhere counts as infinite. */
export function relativeError(values: Numbers, reference: Numbers): number {
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < reference.length; i++) {
    const d = Math.abs(values[i] - reference[i]);
    if (Number.isNaN(d)) return Infinity;
    difference = Math.max(difference, d);
    largest = Math.max(largest, Math.abs(reference[i]));
  }
  return largest === 0 ? difference : difference / largest;
}
