import { InputError } from '../errors';
import { convolutionFlops, valueShapes } from '../model/flops';
import { buildProgram, type Instruction, type Program } from '../model/program';
import { buildSegmentationProgram } from '../model/segmentation-program';
import type { Axes, NetworkSpec } from '../model/spec';
import type { NetworkOfFile } from './network-of-file';

/** Voxels of a scan, i x j x k. */
export type Grid = readonly [number, number, number];

/** One layer of a network on a scan of some grid. */
export interface LayerRow {
  /** PyTorch's dotted name. */
  readonly name: string;
  /** `3x3x3 convolution, stride 2`, `batch norm, + shortcut, ReLU`. */
  readonly what: string;
  readonly channels: number;
  /** i x j x k; null where the grid has been averaged away. */
  readonly grid: Grid | null;
  /** Learnable values. */
  readonly parameters: number;
  /** Floating-point operations of a forward pass (a multiply-add is two); of convolutions, 0 for other layers. */
  readonly flops: number;
}

export interface LayerTable {
  readonly input: { readonly channels: number; readonly grid: Grid };
  readonly layers: readonly LayerRow[];
  readonly parameters: number;
  readonly flops: number;
}

/** Longest side of a grid that is looked at: far above any scan. */
const LONGEST_SIDE = 1024;

/**
 * `96` or `160x256x256` as a grid.
 * @throws InputError that says how it is written
 */
export function parseGrid(text: string): Grid {
  const sides = text
    .trim()
    .split(/\s*[x×]\s*/i)
    .map(Number);
  const [i, j = i, k = i] = sides;
  if (
    (sides.length !== 1 && sides.length !== 3) ||
    ![i, j, k].every((side) => Number.isInteger(side) && side >= 1 && side <= LONGEST_SIDE)
  )
    throw new InputError(
      `${JSON.stringify(text)} is no grid: give one side (96) or three, i x j x k (160x256x256), each a whole number up to ${LONGEST_SIDE}.`,
    );
  return [i, j, k];
}

/** The layers that a file holds of a network, in the order in which they compute, for one scan of a grid. */
export function layerTable({ spec, end }: Pick<NetworkOfFile, 'spec' | 'end'>, grid: Grid): LayerTable {
  const program = programOf({ spec, end });
  const shapes = valueShapes(program, [1, ...turned(grid, spec.axes), spec.inChannels]);
  const held = program.instructions.filter(({ op }) => end.kind !== 'none' || !CLASSIFYING.has(op));
  // A convolution with numbers added behind it is two steps of one name.
  const biased = new Set(held.filter(({ op }) => op === 'bias').map(({ name }) => name));
  const layers = held.map((step): LayerRow => {
    const shape = shapes.get(step.to) ?? [];
    const own = program.parameters.filter(
      ({ name, kind }) =>
        name.startsWith(`${step.name}.`) &&
        (step.op === 'bias') === (kind === 'bias' && biased.has(step.name)),
    );
    return {
      name: step.name,
      what: whatItDoes(step, spec),
      channels: shape[shape.length - 1],
      grid: shape.length === 5 ? turned([shape[1], shape[2], shape[3]], spec.axes) : null,
      parameters: own.reduce((sum, parameter) => sum + product(parameter.shape), 0),
      flops: step.op === 'conv' ? convolutionFlops(program, shapes, step) : 0,
    };
  });
  return {
    input: { channels: spec.inChannels, grid },
    layers,
    parameters: layers.reduce((sum, { parameters }) => sum + parameters, 0),
    flops: layers.reduce((sum, { flops }) => sum + flops, 0),
  };
}

/** What a classifier does behind the encoder. */
const CLASSIFYING: ReadonlySet<Instruction['op']> = new Set(['average', 'linear']);

function programOf({ spec, end }: Pick<NetworkOfFile, 'spec' | 'end'>): Program {
  return end.kind === 'decoder'
    ? buildSegmentationProgram(spec, end.decoder)
    : buildProgram(spec, { fused: true });
}

/** i x j x k to D x H x W, or back: kji is its own reverse. */
function turned([a, b, c]: Grid, axes: Axes): Grid {
  return axes === 'kji' ? [c, b, a] : [a, b, c];
}

function whatItDoes(step: Instruction, spec: NetworkSpec): string {
  switch (step.op) {
    case 'conv': {
      const { stride, padding, dilation } = step.attrs;
      const size = stride.map((_, axis) => (2 * padding[axis]) / dilation[axis] + 1);
      return [
        `${along(size, spec.axes, 'x')} convolution`,
        Math.max(...stride) > 1 ? `stride ${along(stride, spec.axes, ',', true)}` : '',
        Math.max(...dilation) > 1 ? `dilation ${along(dilation, spec.axes, ',', true)}` : '',
      ]
        .filter(Boolean)
        .join(', ');
    }
    case 'norm':
      return [
        'batch norm',
        step.residual === undefined ? '' : '+ shortcut',
        step.relu ? 'ReLU' : '',
        step.pool ? `max pooling ${along(step.pool.size, spec.axes, 'x')}` : '',
      ]
        .filter(Boolean)
        .join(', ');
    case 'join':
      return step.residual === undefined ? 'ReLU' : '+ shortcut, ReLU';
    case 'maxpool':
      return `max pooling ${along(step.attrs.size, spec.axes, 'x')}`;
    case 'subsample':
      return [
        `shortcut ${step.detached ? 'A-detached' : 'A'}`,
        Math.max(...step.stride) > 1 ? `stride ${along(step.stride, spec.axes, ',', true)}` : '',
        'zero channels appended',
      ]
        .filter(Boolean)
        .join(', ');
    case 'resize':
      return 'trilinear resizing';
    case 'bias':
      return 'a number per channel added';
    case 'average':
      return 'average over the grid';
    case 'linear':
      return 'linear';
  }
}

/** D, H, W numbers as i, j, k text; `short`: one number where all are equal. */
function along(dhw: readonly number[], axes: Axes, between: string, short = false): string {
  const ijk = turned([dhw[0], dhw[1], dhw[2]], axes);
  return short && ijk.every((one) => one === ijk[0]) ? String(ijk[0]) : ijk.join(between);
}

function product(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a * b, 1);
}
