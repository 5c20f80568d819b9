import type { Triple } from '../engine/ops/kernels';
import type { PoolAttrs } from '../engine/ops/pool';
import type { Program, ValueId } from './program';

/** How a layer's grid lies in the input: cell n of an axis is centred at voxel `offset + n * stride` (D, H, W). */
export interface ReceptiveGrid {
  readonly stride: Triple;
  readonly offset: Triple;
}

/**
 * Centres of the receptive fields of a value's cells, from the geometry alone. A window of size k, stride s, padding p
 * and dilation d moves cell 0's centre by (d (k - 1) / 2 - p) input cells. Where branches meet, the main path counts:
 * with symmetric padding both agree.
 */
export function receptiveGrid(program: Program, value: ValueId): ReceptiveGrid {
  const grids = new Map<ValueId, ReceptiveGrid>([[0, { stride: [1, 1, 1], offset: [0, 0, 0] }]]);
  for (const step of program.instructions) {
    const from = grids.get(step.from);
    if (!from) continue;
    if (step.op === 'conv') {
      const shift = step.attrs.dilation.map(
        (d, a) => (d * (sizeOf(program, step.name, a) - 1)) / 2 - step.attrs.padding[a],
      );
      grids.set(step.to, moved(from, step.attrs.stride, shift));
    } else if (step.op === 'maxpool') {
      grids.set(step.to, pooled(from, step.attrs));
    } else if (step.op === 'subsample') {
      grids.set(step.to, moved(from, step.stride, [0, 0, 0]));
    } else if (step.op === 'norm' || step.op === 'join') {
      grids.set(step.to, step.op === 'norm' && step.pool ? pooled(from, step.pool) : from);
    }
  }
  const grid = grids.get(value);
  if (!grid) throw new Error(`Value ${value} has no grid.`);
  return grid;
}

function sizeOf(program: Program, conv: string, axis: number): number {
  const filter = program.parameters.find((parameter) => parameter.name === `${conv}.weight`);
  if (!filter) throw new Error(`Convolution ${conv} has no filter.`);
  return filter.shape[2 + axis];
}

function pooled(from: ReceptiveGrid, { size, stride, padding }: PoolAttrs): ReceptiveGrid {
  return moved(
    from,
    stride,
    size.map((k, a) => (k - 1) / 2 - padding[a]),
  );
}

function moved(from: ReceptiveGrid, stride: Triple, shift: readonly number[]): ReceptiveGrid {
  const [d, h, w] = from.stride;
  return {
    stride: [d * stride[0], h * stride[1], w * stride[2]],
    offset: [from.offset[0] + shift[0] * d, from.offset[1] + shift[1] * h, from.offset[2] + shift[2] * w],
  };
}
