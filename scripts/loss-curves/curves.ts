import { closeEngine, openEngine } from '../../src/core/engine/choose';
import type { EngineOptions } from '../../src/core/engine/engine';
import { Network } from '../../src/core/model/network';
import { networkSpec } from '../../src/core/model/spec';
import { Random } from '../../src/core/random';
import { DEFAULT_TRAINING, type TrainingConfig } from '../../src/core/train/config';
import { fit } from '../../src/core/train/fit';
import { crossEntropy } from '../../src/core/train/loss';
import { predictSamples, type Sample } from '../../src/core/train/sample';

const SPEC = networkSpec({ arch: 'resnet10', geometry: 'compact', width: 0.125 });
const SHAPE = [18, 16, 17, 1] as const;
const SIZE = SHAPE[0] * SHAPE[1] * SHAPE[2];
const BATCH = 4;

/** How one training went. */
export interface Curve {
  readonly engine: string;
  readonly seed: number;
  /** Loss of each step. */
  readonly losses: readonly number[];
  /** Mean cross-entropy of heads that were never learned from. */
  readonly heldOut: number;
  /** Steps left out because gradients overflowed in half precision. */
  readonly skipped: number;
}

/** Heads of noise; a patient's has a faint bright block at a place of its own, so that there is something to learn for long. */
function heads(count: number, first: number): Sample[] {
  return Array.from({ length: count }, (_, n) => {
    const random = Random.seeded(first + n, 'head');
    const label = (n % 2) as 0 | 1;
    const data = Float32Array.from({ length: SIZE }, () => random.normal());
    const [d0, h0, w0] = SHAPE.map((size) => 2 + random.integer(size - 8));
    if (label === 1)
      for (let d = d0; d < d0 + 5; d++)
        for (let h = h0; h < h0 + 5; h++)
          for (let w = w0; w < w0 + 5; w++) data[(d * SHAPE[1] + h) * SHAPE[2] + w] += 1;
    const name = `h${first + n}`;
    return { participantId: name, source: name, label, data, shape: SHAPE };
  });
}

/** Trains a small network for so many steps on an engine; seed decides weights, order and augmentation. */
export async function curveOf(
  engine: string,
  options: EngineOptions,
  seed: number,
  steps: number,
): Promise<Curve> {
  const train = heads(48, 0);
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
    const unseen = heads(24, 1000);
    const logits = await predictSamples(network, unseen, BATCH);
    const labels = unseen.map(({ label }) => label);
    return { engine, seed, losses, heldOut: crossEntropy(logits.flat(), labels, [1, 1]).loss, skipped };
  } finally {
    network.dispose();
    await closeEngine();
  }
}

/** How far curves are apart: the same seed on two engines, and two seeds on one engine. */
export interface Agreement {
  readonly engine: string;
  /** Root mean square of the difference from the reference's smoothed curve of the same seed, largest over seeds. */
  readonly apart: number;
  /** The same between the reference's curves of two seeds: smallest over pairs. */
  readonly spread: number;
}

/** Steps over whose losses a curve is averaged before it is compared: batches differ. */
export const WINDOW = 20;

/** Compares all other engines' curves with those of the reference. */
export function agreements(curves: readonly Curve[], reference: string): Agreement[] {
  const of = (engine: string) => curves.filter((curve) => curve.engine === engine);
  const base = of(reference);
  const pairs = base.flatMap((a, i) => base.slice(i + 1).map((b) => difference(a, b)));
  const spread = Math.min(...pairs);
  return [...new Set(curves.map(({ engine }) => engine))]
    .filter((engine) => engine !== reference)
    .map((engine) => {
      const apart = of(engine).map((curve) => {
        const same = base.find(({ seed }) => seed === curve.seed);
        if (!same) throw new Error(`${reference} has no curve of seed ${curve.seed}.`);
        return difference(curve, same);
      });
      return { engine, apart: Math.max(...apart), spread };
    });
}

function difference(a: Curve, b: Curve): number {
  const [one, other] = [smoothed(a.losses), smoothed(b.losses)];
  return Math.sqrt(one.reduce((sum, loss, i) => sum + (loss - other[i]) ** 2, 0) / one.length);
}

/** Means over {@link WINDOW} neighbouring steps. */
export function smoothed(losses: readonly number[]): number[] {
  const width = Math.min(WINDOW, losses.length);
  return Array.from(
    { length: losses.length - width + 1 },
    (_, i) => losses.slice(i, i + width).reduce((a, b) => a + b, 0) / width,
  );
}
