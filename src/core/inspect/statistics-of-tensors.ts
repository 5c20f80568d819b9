import type { OpenWeights } from '../weights/open-weights';
import { statisticsInSteps, type TensorStatistics } from '../weights/statistics';

/** Moments of an optimiser beside a network's weights: they have the shape of filters and are none. */
const MOMENT = /^optimizer\./;

/**
 * Statistics of an open file's tensors as they are read, one tensor in memory at a time.
 * @param only names; all where it is left out
 * @param pause awaited every few milliseconds of work with the number of values looked at since (each counts twice); what
 *   it throws ends the reading
 */
export async function* statisticsOfTensors(
  weights: OpenWeights,
  only?: ReadonlySet<string>,
  pause: (values: number) => Promise<void> = async () => {},
): AsyncGenerator<TensorStatistics, void> {
  for await (const tensor of weights.values({ only, lent: true })) {
    const steps = statisticsInSteps(tensor);
    for (let next = steps.next(); ; next = steps.next()) {
      if (next.done) {
        yield MOMENT.test(tensor.name) ? { ...next.value, filters: null } : next.value;
        break;
      }
      await pause(next.value);
    }
  }
}
