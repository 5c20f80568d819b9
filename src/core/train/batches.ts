import { Random } from '../random';

/** What the order of a training epoch depends on. */
export interface Batchable {
  readonly participantId: string;
  readonly label: 0 | 1;
  /** Shared by the lesioned and the healthy version of one head copy. */
  readonly twin?: string;
}

/**
 * The batches of one epoch as indices into `samples`, decided by seed and epoch alone, so that a resumed run sees the
 * same ones. Each batch takes both groups in the proportion of the whole; with `twins`, both versions of a head copy
 * share a batch, whose size must then be even. A last batch smaller than half the size is left out of the epoch: its batch statistics would be noise.
 */
export function epochBatches(
  samples: readonly Batchable[],
  batchSize: number,
  twins: boolean,
  seed: number,
  epoch: number,
): number[][] {
  const random = Random.seeded(seed, 'order', epoch);
  const units = twins ? twinUnits(samples) : samples.map((_, index) => [index]);
  const shuffled = twins ? random.shuffled(units) : [];
  // Pairs before those without a twin: in batches of an even size no pair is torn then.
  const pairsFirst = [...shuffled].sort((a, b) => b.length - a.length);
  const order = twins ? pairsFirst.flat() : interleaved(samples, random);
  const batches: number[][] = [];
  for (let at = 0; at < order.length; at += batchSize) batches.push(order.slice(at, at + batchSize));
  const last = batches[batches.length - 1];
  if (batches.length > 1 && last.length * 2 < batchSize) batches.pop();
  return shuffled.some(({ length }) => length !== shuffled[0].length) ? random.shuffled(batches) : batches;
}

/** Steps of an epoch; the same for every epoch. */
export function stepsPerEpoch(samples: readonly Batchable[], batchSize: number): number {
  const full = Math.floor(samples.length / batchSize);
  const rest = samples.length % batchSize;
  return Math.max(1, full + (rest * 2 >= batchSize && rest > 0 ? 1 : 0));
}

function twinUnits(samples: readonly Batchable[]): number[][] {
  const units = new Map<string, number[]>();
  samples.forEach((sample, index) => {
    const key = sample.twin ?? `alone:${sample.participantId}`;
    const unit = units.get(key);
    if (unit) unit.push(index);
    else units.set(key, [index]);
  });
  return [...units.values()];
}

/** Both groups shuffled, then merged so that any stretch holds them in the proportion of the whole. */
function interleaved(samples: readonly Batchable[], random: Random): number[] {
  const groups = [0, 1].map((label) =>
    random.shuffled(samples.flatMap((sample, index) => (sample.label === label ? [index] : []))),
  );
  return groups
    .flatMap((group) =>
      group.map((index, rank) => ({ index, place: (rank + random.uniform()) / group.length })),
    )
    .sort((a, b) => a.place - b.place)
    .map(({ index }) => index);
}
