import * as tf from '@tensorflow/tfjs-core';
import { InputError } from '../errors';
import { fromTensorOrder, shapeInAxes, toTensorOrder } from '../volume/axes';
import type { Grid, Volume } from '../volume/volume';
import type { NetworkSpec } from './spec';

/** Prepared channels as the network's input [1, D, H, W, C]; the caller disposes it. */
export function networkInput(channels: readonly Volume[], spec: NetworkSpec): tf.Tensor5D {
  const [d, h, w] = shapeInAxes(channels[0].shape, spec.axes);
  return tf.tensor5d(channelsLast(channels, spec), [1, d, h, w, channels.length]);
}

/** Channels interleaved, row-major [D, H, W, C]. */
export function channelsLast(channels: readonly Volume[], spec: NetworkSpec): Float32Array {
  requireChannels(channels.length, spec);
  const ordered = channels.map((channel) => toTensorOrder(channel, spec.axes));
  if (ordered.length === 1) return ordered[0];
  const out = new Float32Array(ordered[0].length * ordered.length);
  ordered.forEach((channel, c) => {
    for (let i = 0; i < channel.length; i++) out[i * ordered.length + c] = channel[i];
  });
  return out;
}

/** @throws InputError unless there is one image per input channel */
export function requireChannels(images: number, { inChannels }: NetworkSpec): void {
  if (images !== inChannels)
    throw new InputError(
      `This network takes ${inChannels} input channel${inChannels > 1 ? 's' : ''}, but ${images} image${images > 1 ? 's were' : ' was'} given.`,
    );
}

/** The channels that {@link channelsLast} interleaved, as volumes on `grid` again. */
export function channelVolumes(data: Float32Array, grid: Grid, spec: NetworkSpec): Volume[] {
  const dhw = shapeInAxes(grid.shape, spec.axes);
  return Array.from({ length: spec.inChannels }, (_, c) => {
    const channel = new Float32Array(data.length / spec.inChannels);
    for (let i = 0; i < channel.length; i++) channel[i] = data[i * spec.inChannels + c];
    return { shape: grid.shape, affine: grid.affine, data: fromTensorOrder(channel, dhw, spec.axes) };
  });
}
