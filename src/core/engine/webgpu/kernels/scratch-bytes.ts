import { product, type ConvGeometry, type ConvPass } from '../../wasm/conv-geometry';
import { backwardGather } from './gather-classes';
import { chooseGemm, type GemmProblem } from './gemm-choice';

/**
 * Bytes that a convolution borrows beside its tensors, by the built-in choice: partial sums where a sum is cut into parts,
 * and for the gradient of the input a filter whose channels are swapped.
 */
export function gpuScratchBytes(pass: ConvPass, g: ConvGeometry): number {
  const taps = product(g.kernel);
  const positions = g.batch * product(g.output);
  switch (pass) {
    case 'y':
      return partialBytes({
        kind: 'gather',
        rows: positions,
        columns: g.outChannels,
        depth: taps * g.inChannels,
        count: 1,
      });
    case 'dfilter':
      return partialBytes({
        kind: 'filter-gradient',
        rows: taps * g.inChannels,
        columns: g.outChannels,
        depth: positions,
        count: 1,
      });
    case 'dx': {
      const swapped = g.inChannels === 1 || g.outChannels === 1 ? 0 : 4 * taps * g.inChannels * g.outChannels;
      const reaching = backwardGather(g).classes.map((axes) => product(axes.map((axis) => axis.taps)));
      const problem: GemmProblem = {
        kind: 'gather',
        rows: g.batch * product(g.input),
        columns: g.inChannels,
        depth: Math.max(...reaching) * g.outChannels,
        count: 1,
      };
      return swapped + partialBytes(problem);
    }
  }
}

function partialBytes(problem: GemmProblem): number {
  const { parts } = chooseGemm(problem);
  return parts === 1 ? 0 : 4 * parts * problem.rows * problem.columns;
}
