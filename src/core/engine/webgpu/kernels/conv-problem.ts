import { product, type ConvGeometry, type ConvPass } from '../../wasm/conv-geometry';
import { backwardGather, forwardGather, type Gather } from './gather-classes';
import type { GemmProblem } from './gemm-choice';

/** Tensors of a convolution by gathering: [samples, ...size, channels] and taps [..., channels, columns]. */
export interface GatherProduct {
  readonly gather: Gather;
  readonly samples: number;
  readonly size: readonly number[];
  readonly channels: number;
  readonly resultSize: readonly number[];
  readonly columns: number;
  readonly kernel: readonly number[];
}

/** y from x, or dx from dy and the filter with its channels swapped. */
export function gatherOf(pass: 'y' | 'dx', g: ConvGeometry): GatherProduct {
  return pass === 'y'
    ? {
        gather: forwardGather(g),
        samples: g.batch,
        size: g.input,
        channels: g.inChannels,
        resultSize: g.output,
        columns: g.outChannels,
        kernel: g.kernel,
      }
    : {
        gather: backwardGather(g),
        samples: g.batch,
        size: g.output,
        channels: g.outChannels,
        resultSize: g.input,
        columns: g.inChannels,
        kernel: g.kernel,
      };
}

/** The convolution as a matrix product. Where classes of rows sum different numbers of taps, the most. */
export function problemOf(pass: ConvPass, g: ConvGeometry): GemmProblem {
  if (pass === 'dfilter')
    return {
      kind: 'filter-gradient',
      rows: product(g.kernel) * g.inChannels,
      columns: g.outChannels,
      depth: g.batch * product(g.output),
      count: 1,
    };
  const { gather, samples, channels, columns } = gatherOf(pass, g);
  const over = (of: 'count' | 'taps') => gather.classes.map((axes) => product(axes.map((axis) => axis[of])));
  return {
    kind: 'gather',
    rows: samples * over('count').reduce((a, b) => a + b, 0),
    columns,
    depth: Math.max(...over('taps')) * channels,
    count: 1,
  };
}
