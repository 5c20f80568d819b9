import type { RunEvent } from '../../protocol/run';

type PhaseEvent = Extract<RunEvent, { type: 'phase' }>;

/** How a run ended, as its last words say. */
export type Ending =
  | { readonly kind: 'finished'; readonly seconds: number }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'failed'; readonly message: string };

/** Where a run stands, as its events tell. Epochs and steps are counted from 1 where they are shown. */
export interface RunProgress {
  readonly epochs: number | null;
  readonly stepsPerEpoch: number | null;
  /** 0-based epoch under way, and steps of it that are done. */
  readonly epoch: number;
  readonly step: number;
  /** Loss of the last step. */
  readonly loss: number | null;
  readonly learningRate: number | null;
  readonly secondsLeft: number | null;
  /** Of the last whole epoch. */
  readonly epochLoss: number | null;
  readonly validationLoss: number | null;
  readonly validationAccuracy: number | null;
  /** 0-based epoch with the least validation loss. */
  readonly bestEpoch: number | null;
  readonly checkpointEpoch: number | null;
  /** What is not training. */
  readonly phase: Pick<PhaseEvent, 'phase' | 'done' | 'total'> | null;
  readonly warnings: readonly string[];
  readonly ending: Ending | null;
  /** Milliseconds since 1970 of the last event, and the longest silence between two events since the run last began. */
  readonly lastEvent: number | null;
  readonly longestSilence: number;
}

export const NOTHING_YET: RunProgress = {
  epochs: null,
  stepsPerEpoch: null,
  epoch: 0,
  step: 0,
  loss: null,
  learningRate: null,
  secondsLeft: null,
  epochLoss: null,
  validationLoss: null,
  validationAccuracy: null,
  bestEpoch: null,
  checkpointEpoch: null,
  phase: null,
  warnings: [],
  ending: null,
  lastEvent: null,
  longestSilence: 0,
};

/** The progress after one more event. */
export function advance(before: RunProgress, event: RunEvent): RunProgress {
  const time = Date.parse(event.time);
  const goesOn = before.ending === null && event.type !== 'resumed';
  const silence =
    goesOn && before.lastEvent !== null && Number.isFinite(time) ? Math.max(0, time - before.lastEvent) : 0;
  return {
    ...before,
    lastEvent: Number.isFinite(time) ? time : before.lastEvent,
    longestSilence: goesOn ? Math.max(before.longestSilence, silence) : 0,
    ...changes(before, event),
  };
}

function changes(before: RunProgress, event: RunEvent): Partial<RunProgress> {
  switch (event.type) {
    case 'started':
      return { epochs: event.epochs, stepsPerEpoch: event.stepsPerEpoch, ending: null, phase: null };
    case 'resumed':
      return { epoch: event.epoch, step: event.step, ending: null, phase: null, secondsLeft: null };
    case 'step':
      return {
        epoch: event.epoch,
        step: event.step,
        loss: event.loss,
        learningRate: event.learningRate,
        secondsLeft: event.secondsLeft,
        phase: null,
        ending: null,
      };
    case 'epoch':
      return {
        epochLoss: event.loss,
        validationLoss: event.validationLoss,
        validationAccuracy: event.validationAccuracy,
        bestEpoch: event.best ? event.epoch : before.bestEpoch,
      };
    case 'checkpoint':
      return { checkpointEpoch: event.epoch };
    case 'phase':
      // Reading comes before "started" or "resumed", which the next life of a stopped run begins with.
      return { phase: event, ending: null, secondsLeft: null };
    case 'warning':
      return { warnings: [...before.warnings, event.message] };
    case 'finished':
      return ended(before, { kind: 'finished', seconds: event.seconds });
    case 'stopped':
      return { ...ended(before, { kind: 'stopped' }), epoch: event.epoch, step: event.step };
    case 'failed':
      return ended(before, { kind: 'failed', message: event.message });
  }
}

function ended(_before: RunProgress, ending: Ending): Partial<RunProgress> {
  return { ending, phase: null, secondsLeft: null };
}
