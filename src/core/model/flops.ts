import { outputSize } from '../engine/ops/kernels';
import type { PoolAttrs } from '../engine/ops/pool';
import type { Instruction, Program, ValueId } from './program';

/** Shapes of all values of a program on an input [N, D, H, W, C]; the flat ones are [N, C]. */
export function valueShapes(program: Program, input: readonly number[]): Map<ValueId, readonly number[]> {
  const shapes = new Map<ValueId, readonly number[]>([[0, input]]);
  for (const step of program.instructions) {
    const from = shapes.get(step.from);
    if (!from) throw new Error(`Value ${step.from} is read before it is written.`);
    const like = step.op === 'resize' ? shapes.get(step.like) : undefined;
    shapes.set(step.to, resultShape(step, from, program.channels[step.to], like));
  }
  return shapes;
}

function resultShape(
  step: Instruction,
  from: readonly number[],
  channels: number,
  like?: readonly number[],
): readonly number[] {
  const [n, ...grid] = from.slice(0, 4);
  switch (step.op) {
    case 'conv': {
      // 'same' convolutions of odd size alone occur here: padding is dilation * (size - 1) / 2.
      const { stride, padding, dilation } = step.attrs;
      const size = (a: number) => (2 * padding[a]) / dilation[a] + 1;
      return [n, ...grid.map((g, a) => outputSize(g, size(a), stride[a], padding[a], dilation[a])), channels];
    }
    case 'maxpool':
      return [n, ...pooledGrid(grid, step.attrs), channels];
    case 'subsample':
      return [n, ...grid.map((g, a) => Math.ceil(g / step.stride[a])), channels];
    case 'average':
    case 'linear':
      return [n, channels];
    case 'norm':
      return step.pool ? [n, ...pooledGrid(grid, step.pool), channels] : from;
    case 'resize':
      return [n, ...(like ?? from).slice(1, 4), channels];
    case 'bias':
    case 'join':
      return from;
  }
}

function pooledGrid(grid: readonly number[], { size, stride, padding }: PoolAttrs): number[] {
  return grid.map((g, a) => outputSize(g, size[a], stride[a], padding[a]));
}

/**
 * Floating-point operations of the convolutions (a multiply-add is two): of a forward pass, and of a training step,
 * which also takes both gradients of each but that of the scan.
 */
export function forwardFlops(
  program: Program,
  input: readonly number[],
): { readonly forward: number; readonly step: number } {
  const shapes = valueShapes(program, input);
  let forward = 0;
  let step = 0;
  for (const instruction of program.instructions) {
    if (instruction.op !== 'conv') continue;
    const flops = convolutionFlops(program, shapes, instruction);
    forward += flops;
    step += flops * (instruction.from === 0 ? 2 : 3);
  }
  return { forward, step };
}

/** Operations of one convolution of a program forwards, given the shapes of its values. */
export function convolutionFlops(
  program: Program,
  shapes: ReadonlyMap<ValueId, readonly number[]>,
  { name, to }: Instruction & { readonly op: 'conv' },
): number {
  const filter = program.parameters.find((parameter) => parameter.name === `${name}.weight`);
  const y = shapes.get(to);
  if (!filter || !y) throw new Error(`${name} has no filter.`);
  const positions = y.slice(0, 4).reduce((a, b) => a * b);
  return 2 * positions * filter.shape.reduce((a, b) => a * b);
}
