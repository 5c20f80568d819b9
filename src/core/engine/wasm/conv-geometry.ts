import { InputError } from '../../errors';
import type { ConvAttrs, Shape5, Triple } from '../ops/kernels';
import { VOXEL_BYTES } from './control';
import type { ConvAxis } from './gather-axis';

/** A convolution's sizes. x is [batch, ...input, inChannels], y [batch, ...output, outChannels]. */
export interface ConvGeometry extends ConvAttrs {
  readonly batch: number;
  readonly input: Triple;
  readonly inChannels: number;
  readonly output: Triple;
  readonly outChannels: number;
  readonly kernel: Triple;
}

/** What is computed: y from x, dx from dy, or the filter's gradient from x and dy. */
export type ConvPass = 'y' | 'dx' | 'dfilter';

export const product = (sizes: readonly number[]) => sizes.reduce((a, b) => a * b, 1);

/**
 * Geometry from the shapes [N,D,H,W,Ci] and [kd,kh,kw,Ci,Co] and the output's shape.
 * @throws InputError where the engine cannot address it
 */
export function convGeometry(
  x: readonly number[],
  filter: readonly number[],
  y: Shape5,
  attrs: ConvAttrs,
): ConvGeometry {
  const geometry = geometryOfShapes(x, filter, y, attrs);
  checkLimits(geometry);
  return geometry;
}

/** The same of any size: for what only estimates. */
export function geometryOfShapes(
  x: readonly number[],
  filter: readonly number[],
  y: Shape5,
  attrs: ConvAttrs,
): ConvGeometry {
  return {
    batch: x[0],
    input: [x[1], x[2], x[3]],
    inChannels: filter[3],
    output: [y[1], y[2], y[3]],
    outChannels: filter[4],
    kernel: [filter[0], filter[1], filter[2]],
    stride: attrs.stride,
    padding: attrs.padding,
    dilation: attrs.dilation,
  };
}

/** The convolution along one axis. */
export function axisOf(g: ConvGeometry, a: number): ConvAxis {
  return {
    input: g.input[a],
    output: g.output[a],
    kernel: g.kernel[a],
    stride: g.stride[a],
    padding: g.padding[a],
    dilation: g.dilation[a],
  };
}

function checkLimits(g: ConvGeometry): void {
  const channels = Math.max(g.inChannels, g.outChannels);
  if (channels * 4 > VOXEL_BYTES)
    throw new InputError(
      `A convolution has ${channels} channels; this engine takes at most ${VOXEL_BYTES / 4}.`,
    );
  for (const [grid, c] of [
    [g.input, g.inChannels],
    [g.output, g.outChannels],
  ] as const)
    if (product(grid) * c * 4 >= 2 ** 31)
      throw new InputError(
        `A sample of ${grid.join(' x ')} voxels and ${c} channels is larger than 2 GiB; use a smaller grid or a narrower network.`,
      );
}
