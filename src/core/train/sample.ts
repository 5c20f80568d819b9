import * as tf from '@tensorflow/tfjs-core';
import type { Network } from '../model/network';
import { awaited } from '../model/steps';
import type { SampleShape } from './augment';
import type { Batchable } from './batches';

/** A head ready for the network. */
export interface Sample extends Batchable {
  /** The head it stems from; folds and intervals go by it. */
  readonly source: string;
  /** Row-major [D, H, W, C]. */
  readonly data: Float32Array;
  readonly shape: SampleShape;
}

/** Samples stacked to [N, D, H, W, C]; the caller disposes it. */
export function stack(volumes: readonly Float32Array[], shape: SampleShape): tf.Tensor5D {
  const size = shape[0] * shape[1] * shape[2] * shape[3];
  const data = new Float32Array(volumes.length * size);
  volumes.forEach((volume, n) => data.set(volume, n * size));
  return tf.tensor5d(data, [volumes.length, ...shape]);
}

/** Logits [control, fcd] of each sample in evaluation mode. */
export async function predictSamples(
  network: Network,
  samples: readonly Sample[],
  batchSize: number,
): Promise<[number, number][]> {
  const logits: [number, number][] = [];
  for (let at = 0; at < samples.length; at += batchSize) {
    const batch = samples.slice(at, at + batchSize);
    const x = stack(
      batch.map((sample) => sample.data),
      batch[0].shape,
    );
    let values: Float32Array;
    try {
      values = await awaited(network.predictSteps(x));
    } finally {
      x.dispose();
    }
    batch.forEach((_, n) => logits.push([values[2 * n], values[2 * n + 1]]));
  }
  return logits;
}
