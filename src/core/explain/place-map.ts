import { fromTensorOrder, shapeInAxes, type TensorAxes } from '../volume/axes';
import type { ReceptiveGrid } from '../model/receptive-field';
import type { Grid, Shape3, Volume } from '../volume/volume';
import { voxelCount } from '../volume/volume';
import { InputError } from '../errors';

/**
 * How cells of a layer's map are placed on the input grid. `half-pixel`: torch's align_corners = false, which assumes
 * that the cells tile the input evenly. `receptive`: each cell at the centre of its receptive field, which is where
 * padded strided convolutions really look: cell i of a stride-8 layer sits at voxel 8 i, not at 8 i + 3.5.
 */
export const ALIGNMENTS = ['half-pixel', 'receptive'] as const;
export type Alignment = (typeof ALIGNMENTS)[number];

/** A class map as a layer gives it: cell (d, h, w) is `data[(d * H + h) * W + w]`. */
export interface LayerMap {
  readonly data: Float32Array;
  /** D, H, W in cells. */
  readonly shape: Shape3;
  readonly axes: TensorAxes;
  readonly receptive: ReceptiveGrid;
}

/** For each output index of one axis: the two cells it lies between and the share of the second. */
interface Taps {
  readonly low: Int32Array;
  readonly high: Int32Array;
  readonly share: Float64Array;
}

/**
 * Brings a layer's map to the grid of the network's input, as a volume in voxel order.
 *
 * @param grid the input's grid, i x j x k.
 * @throws InputError when the map's length does not fit its shape.
 */
export function placeMap(map: LayerMap, grid: Grid, align: Alignment): Volume {
  checkLength(map.data, map.shape);
  const data = fromTensorOrder(map.data, map.shape, map.axes);
  // In memory a volume (i fastest) is a row-major array [k][j][i]: the interpolation sees its axes reversed.
  const from = reversed(shapeInAxes(map.shape, map.axes));
  const to = reversed(grid.shape);
  const geometry = map.axes === 'kji' ? map.receptive : reversedGrid(map.receptive);
  const placed =
    align === 'half-pixel' ? upsampleHalfPixel(data, from, to) : placeReceptive(data, from, to, geometry);
  return { shape: grid.shape, affine: grid.affine, data: placed };
}

/**
 * Trilinear resizing with half-pixel centres, the values of `torch.nn.functional.interpolate(mode='trilinear',
 * align_corners=False, size=toShape)`: output v lies at cell `(v + 0.5) * from / to - 0.5`, clamped to the outermost
 * cells. Arrays are row-major, the last axis fastest.
 */
export function upsampleHalfPixel(map: Float32Array, fromShape: Shape3, toShape: Shape3): Float32Array {
  const taps = fromShape.map((cells, axis) => {
    const scale = cells / toShape[axis];
    return tapsOf(cells, toShape[axis], (v) => (v + 0.5) * scale - 0.5);
  });
  return interpolate(map, fromShape, toShape, taps);
}

/**
 * Trilinear between the centres of the cells' receptive fields: output v lies at cell `(v - offset) / stride`. Beyond
 * the outermost centres the value of the outermost cell holds (no extrapolation). Arrays are row-major, the last axis
 * fastest, and stride and offset, in voxels, are in the order of the axes.
 */
export function placeReceptive(
  map: Float32Array,
  fromShape: Shape3,
  toShape: Shape3,
  geometry: ReceptiveGrid,
): Float32Array {
  const taps = fromShape.map((cells, axis) => {
    const stride = geometry.stride[axis];
    const offset = geometry.offset[axis];
    if (!(stride > 0) || !Number.isFinite(offset))
      throw new InputError(
        `The receptive field of axis ${axis} has stride ${stride} and offset ${offset} voxels; the stride must be positive and both finite.`,
      );
    return tapsOf(cells, toShape[axis], (v) => (v - offset) / stride);
  });
  return interpolate(map, fromShape, toShape, taps);
}

function tapsOf(cells: number, size: number, cellAt: (v: number) => number): Taps {
  const low = new Int32Array(size);
  const high = new Int32Array(size);
  const share = new Float64Array(size);
  for (let v = 0; v < size; v++) {
    const at = Math.min(Math.max(cellAt(v), 0), cells - 1);
    low[v] = Math.floor(at);
    high[v] = Math.min(low[v] + 1, cells - 1);
    share[v] = at - low[v];
  }
  return { low, high, share };
}

/** One axis after the other, the fastest first: every pass but the last runs over a small array. */
function interpolate(map: Float32Array, from: Shape3, to: Shape3, taps: readonly Taps[]): Float32Array {
  checkLength(map, from);
  if (voxelCount(to) < 1 || !to.every(Number.isInteger))
    throw new InputError(
      `A map cannot be brought to the grid ${to.join(' x ')}: every size must be at least 1.`,
    );
  const alongW = interpolateRows(map, from[0] * from[1], from[2], 1, taps[2]);
  const alongH = interpolateRows(alongW, from[0], from[1], to[2], taps[1]);
  return interpolateRows(alongH, 1, from[0], to[1] * to[2], taps[0]);
}

/** `map` is [outer][cells][inner]; the middle axis is interpolated. */
function interpolateRows(
  map: Float32Array,
  outer: number,
  cells: number,
  inner: number,
  taps: Taps,
): Float32Array {
  const size = taps.low.length;
  const out = new Float32Array(outer * size * inner);
  let at = 0;
  for (let o = 0; o < outer; o++) {
    const start = o * cells * inner;
    for (let v = 0; v < size; v++) {
      const share = taps.share[v];
      let a = start + taps.low[v] * inner;
      let b = start + taps.high[v] * inner;
      for (const end = at + inner; at < end; at++, a++, b++) out[at] = (1 - share) * map[a] + share * map[b];
    }
  }
  return out;
}

function checkLength(data: Float32Array, shape: Shape3): void {
  if (data.length !== voxelCount(shape) || data.length === 0)
    throw new InputError(
      `The class map holds ${data.length} values, but its shape ${shape.join(' x ')} needs ${voxelCount(shape)}.`,
    );
}

function reversed(triple: Shape3): Shape3 {
  return [triple[2], triple[1], triple[0]];
}

function reversedGrid({ stride, offset }: ReceptiveGrid): ReceptiveGrid {
  return { stride: reversed(stride), offset: reversed(offset) };
}
