import { closeEngine, openEngine } from '../../src/core/engine/choose';
import type { EngineOptions } from '../../src/core/engine/engine';
import { Network } from '../../src/core/model/network';
import { networkSpec } from '../../src/core/model/spec';
import { DEFAULT_TRAINING, type TrainingConfig } from '../../src/core/train/config';
import { fit } from '../../src/core/train/fit';
import { crossEntropy } from '../../src/core/train/loss';
import { predictSamples } from '../../src/core/train/sample';
import type { LossCurve } from './curve-distance.mjs';
import { noiseHeads, type NoiseHeads } from './noise-heads';

const SPEC = networkSpec({ arch: 'resnet10', geometry: 'compact', width: 0.125 });
const HEADS: NoiseHeads = { sides: [18, 16, 17], block: 5, margin: 2 };
const BATCH = 4;

/** How one training went. */
export interface Curve extends LossCurve {
  /** Mean cross-entropy of heads that were never learned from. */
  readonly heldOut: number;
  /** Steps left out because gradients overflowed in half precision. */
  readonly skipped: number;
}

/** Trains a small network for so many steps on an engine; seed decides weights, order and augmentation. */
export async function curveOf(
  engine: string,
  options: EngineOptions,
  seed: number,
  steps: number,
): Promise<Curve> {
  const train = noiseHeads(48, 0, HEADS);
  const epochs = Math.ceil((steps * BATCH) / train.length);
  const config: TrainingConfig = {
    ...DEFAULT_TRAINING,
    epochs,
    batchSize: BATCH,
    microBatch: BATCH,
    patience: 0,
  };
  await openEngine(options);
  const network = new Network(SPEC, seed);
  const losses: number[] = [];
  let skipped = 0;
  try {
    const enough = new AbortController();
    const data = { train, validation: [], leftRight: 0 as const };
    await fit(network, data, config, seed, {
      signal: enough.signal,
      onCheckpoint: async () => {},
      onEvent: (event) => {
        if (event.type !== 'step') return;
        losses.push(event.loss);
        if (event.skipped) skipped++;
        if (losses.length === steps) enough.abort();
      },
    }).catch((error: unknown) => {
      if (!enough.signal.aborted) throw error;
    });
    const unseen = noiseHeads(24, 1000, HEADS);
    const logits = await predictSamples(network, unseen, BATCH);
    const labels = unseen.map(({ label }) => label);
    return { engine, seed, losses, heldOut: crossEntropy(logits.flat(), labels, [1, 1]).loss, skipped };
  } finally {
    network.dispose();
    await closeEngine();
  }
}
