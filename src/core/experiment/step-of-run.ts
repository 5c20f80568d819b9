import type { RunRecord } from '../../protocol/run';
import { fitStep, remarksOnParts, stepFits, type FittedStep, type StepNeed } from '../train/memory-need';
import type { RunDirectory } from './run-directory';

/**
 * Fits a run's steps to the engine's memory and keeps in run.json how. A run that goes on computes its steps as before,
 * unless they do not fit any more: on another engine, or with less memory.
 * @returns the training as it is to be computed, and where that changed, the sentence that says so
 */
export async function fitStepOfRun(
  directory: RunDirectory,
  need: StepNeed,
): Promise<FittedStep & { readonly changed?: string }> {
  const { step: before } = await directory.record();
  const asBefore = before && { ...need.training, ...before };
  if (asBefore && stepFits({ ...need, training: asBefore }))
    return fitStep({ ...need, training: { ...asBefore, fixed: ['microBatch', 'checkpointActivations'] } });
  const fitted = fitStep(need);
  const { microBatch, checkpointActivations } = fitted.training;
  if (need.memory) await directory.keepStep({ microBatch, checkpointActivations });
  if (!before || before.microBatch === microBatch) return fitted;
  return {
    ...fitted,
    changed: `The run began with ${before.microBatch} volumes at a time and goes on with ${microBatch}, for more do not fit here: from now on it is another run than the one that began.`,
  };
}

/** What is to be said of a run's results for how its steps were computed. */
export function remarksOnStep({ training, step }: RunRecord): string[] {
  const { batchSize } = training;
  const microBatch = step?.microBatch ?? training.microBatch;
  return typeof batchSize === 'number' && typeof microBatch === 'number'
    ? remarksOnParts({ batchSize, microBatch })
    : [];
}
