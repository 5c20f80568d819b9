import { basename } from 'node:path';
import type { MetricRecord } from '../../protocol/results';
import { threadsText } from '../compute/engine-text';
import type { Outcome, RunSnapshot } from './follow-run';
import type { ExperimentGroup } from './run-groups';

/** `48 s`, `3 min`, `2 h 5 min`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.round(whole / 60)} min`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** The name of a run, short enough for a narrow view: `resnet18 FLAIR 1/5`. */
export function runLabel({ record, path }: RunSnapshot): string {
  return record?.name.replace(/,? fold (\d+) of (\d+)$/, ' $1/$2') ?? basename(path);
}

/** The names that more than one of the rows bears: their folders tell these apart. */
export function namesakes(names: readonly string[]): ReadonlySet<string> {
  return new Set(names.filter((name, index) => names.indexOf(name) !== index));
}

/** What stands behind the name of a run: the least that tells how it goes. */
export function runDescription(run: RunSnapshot): string {
  const { progress, state, fault } = run;
  if (fault !== undefined) return fault;
  switch (state) {
    case 'starting':
      return progress.phase ? phaseText(progress.phase) : 'starting';
    case 'running':
      return joined([
        progress.phase ? phaseText(progress.phase) : epochText(run),
        progress.secondsLeft === null ? undefined : `${duration(progress.secondsLeft)} left`,
        progress.phase ? undefined : lossText(run),
        validationText(run),
      ]);
    case 'finished':
      return joined([
        run.outcome ? outcomeText(run.outcome) : heldOutText(run),
        run.outcome ? undefined : epochsDone(run),
        run.outcome ? undefined : finalLossText(run),
      ]);
    case 'failed':
      return joined(['failed', progress.ending?.kind === 'failed' ? progress.ending.message : undefined]);
    case 'stopped':
    case 'lost':
      return joined([state, epochText(run), lossText(run), 'can be resumed']);
  }
}

/** `epoch 3/6, 2 min left`. */
export function progressText(run: RunSnapshot): string {
  const { phase, secondsLeft: left } = run.progress;
  if (phase) return phaseText(phase);
  return left === null ? epochText(run) : `${epochText(run)}, ${duration(left)} left`;
}

export function experimentDescription(group: ExperimentGroup): string {
  const done = group.runs.filter(({ state }) => state === 'finished').length;
  const { outcome, state } = group;
  const current = group.runs.find((run) => run.state === 'running' || run.state === 'starting');
  if (state === 'running') {
    const left = secondsLeft(group);
    return joined([
      `fold ${(current?.record?.fold.index ?? done) + 1}/${group.folds}`,
      left === null ? undefined : `${duration(left)} left`,
    ]);
  }
  if (outcome) return outcomeText(outcome);
  const word = state === 'waiting' ? undefined : state;
  return joined([
    word,
    `${done} of ${group.folds} folds done`,
    state === 'failed' ? undefined : 'can be resumed',
  ]);
}

/**
 * Time left of a whole cross-validation: of the fold at hand, and for every fold that has not begun the mean of the
 * finished ones, or else as much as the fold at hand takes in all. Null before there is anything to go by.
 */
export function secondsLeft(group: ExperimentGroup): number | null {
  const current = group.runs.find(({ state }) => state === 'running');
  if (!current || current.progress.secondsLeft === null) return null;
  const { secondsLeft: left, epoch, step, epochs, stepsPerEpoch } = current.progress;
  const waiting = group.folds - group.runs.length;
  if (waiting <= 0) return left;
  const durations = group.runs.flatMap(({ progress }) =>
    progress.ending?.kind === 'finished' ? [progress.ending.seconds] : [],
  );
  const total = epochs === null || stepsPerEpoch === null ? 0 : epochs * stepsPerEpoch;
  const remaining = total - (epoch * (stepsPerEpoch ?? 0) + step);
  if (durations.length === 0 && remaining <= 0) return null;
  const perFold =
    durations.length > 0
      ? durations.reduce((a, b) => a + b, 0) / durations.length
      : (left / remaining) * total;
  return left + waiting * perFold;
}

/** Facts of a run, each with what it is: rows of a table in the tooltip. */
export function runFacts(run: RunSnapshot): (readonly [name: string, value: string])[] {
  const { record, progress, process, life } = run;
  const facts: (readonly [string, string | undefined])[] = [
    ['State', stateText(run)],
    [
      'Epoch',
      progress.epochs === null ? undefined : epochText(run).replace('epoch ', '').replace('/', ' of '),
    ],
    ['Loss of the last step', number(progress.loss)],
    ['Mean loss of the last epoch', number(progress.epochLoss)],
    ['Validation loss', number(progress.validationLoss)],
    ['Validation accuracy', number(progress.validationAccuracy)],
    ['Least validation loss in', progress.bestEpoch === null ? undefined : `epoch ${progress.bestEpoch + 1}`],
    ['Learning rate', progress.learningRate === null ? undefined : progress.learningRate.toPrecision(3)],
    [
      'Time left, if all epochs are needed',
      progress.secondsLeft === null ? undefined : duration(progress.secondsLeft),
    ],
    ['Took', progress.ending?.kind === 'finished' ? duration(progress.ending.seconds) : undefined],
    ...resultFacts(run),
    ['Learns to segment', record?.segmentation && tasksText(record.segmentation.tasks)],
    [
      'Network',
      record &&
        `${record.network.arch}, ${record.network.geometry}, ${widthText(record.network.width)}, shortcut ${record.network.shortcut}`,
    ],
    ['Modality', record?.modality],
    [
      'Starts from',
      record &&
        (record.init.kind === 'none'
          ? 'random weights'
          : `${record.init.strategy ?? record.init.path} (${record.init.loaded} tensors${record.init.sourceModality === undefined ? '' : `, trained on ${record.init.sourceModality}`})`),
    ],
    ['Cohort', record && `${record.cohort.path} (${counted(record.cohort.cases, 'case')})`],
    [
      'Fold',
      record &&
        `${record.fold.index + 1} of ${record.fold.count}: ${record.fold.train.length} to train, ${record.fold.validation.length} to validate, ${record.fold.test.length} held out`,
    ],
    ['Seed', record && String(record.seed)],
    [
      'Engine',
      record &&
        `${record.engine.name}${record.engine.module ? ` ${record.engine.module}` : ''}, ${record.engine.precision === 'f16' ? 'half precision (f16), ' : ''}${threadsText(record.engine.threads)}, Node ${record.engine.node}`,
    ],
    ['Begun', record?.created],
    ['Process', process && `${process.pid} on ${process.host}${life === 'dead' ? ', which is gone' : ''}`],
    ['Warnings', progress.warnings.length > 0 ? progress.warnings.join(' ') : undefined],
    ['Unreadable lines of events.jsonl', run.unreadable > 0 ? String(run.unreadable) : undefined],
    ['Folder', run.path],
  ];
  return facts.flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]));
}

/** What a run came to on its held-out cases or heads. */
function resultFacts({ outcome, heldOut }: RunSnapshot): (readonly [string, string | undefined])[] {
  const shown = (metric: MetricRecord | null | undefined, of: Counted): string | undefined =>
    metric ? metricText(metric, of) : undefined;
  const right =
    heldOut && `${(heldOut.right / heldOut.n).toFixed(3)}, ${heldOut.right} of ${counted(heldOut.n, 'case')}`;
  return [
    ['Held-out accuracy', outcome ? shown(outcome.accuracy, 'case') : right],
    ['Held-out AUC', shown(outcome?.auc, 'case')],
    ['Mean Heat-Score (roi/brain, chance 1)', shown(outcome?.heatScore, 'map')],
    ['Mean Dice over tasks, held-out heads', shown(outcome?.dice, 'head')],
  ];
}

/** `all channels`, `1/4 of the channels`. */
function widthText(width: number): string {
  return width === 1 ? 'all channels' : `1/${Math.round(1 / width)} of the channels`;
}

function stateText({ state, progress, life }: RunSnapshot): string {
  if (state === 'failed' && progress.ending?.kind === 'failed') return `failed: ${progress.ending.message}`;
  if (state === 'lost')
    return life === 'dead'
      ? 'lost: its process is gone without a word; it can be resumed from its last checkpoint'
      : 'lost: no word for long, and its process cannot be seen from here; it can be resumed from its last checkpoint';
  return state;
}

function phaseText({ phase, done, total }: { phase: string; done: number; total: number }): string {
  const what = phase === 'reading' ? 'reading heads' : phase;
  return `${what} ${done}/${total}`;
}

function epochText({ progress }: RunSnapshot): string {
  const epoch = Math.min(progress.epoch + 1, progress.epochs ?? Infinity);
  return `epoch ${epoch}${progress.epochs === null ? '' : `/${progress.epochs}`}`;
}

function heldOutText({ heldOut }: RunSnapshot): string {
  return heldOut ? `accuracy ${(heldOut.right / heldOut.n).toFixed(2)} (n ${heldOut.n})` : 'finished';
}

function epochsDone({ progress }: RunSnapshot): string {
  return progress.epochLoss === null ? 'no epoch' : `${progress.epoch + 1} epochs`;
}

function lossText({ progress }: RunSnapshot): string | undefined {
  return progress.loss === null ? undefined : `loss ${number(progress.loss)}`;
}

function finalLossText({ progress }: RunSnapshot): string | undefined {
  return progress.epochLoss === null ? undefined : `loss ${number(progress.epochLoss)}`;
}

function validationText({ progress }: RunSnapshot): string | undefined {
  return progress.validationAccuracy === null
    ? undefined
    : `validation accuracy ${number(progress.validationAccuracy)}`;
}

function outcomeText({ accuracy, heatScore, dice }: Outcome): string {
  return joined([
    accuracy && accuracyText(accuracy),
    heatScore && heatScoreText(heatScore),
    dice && diceText(dice),
  ]);
}

function diceText(metric: MetricRecord): string {
  return metric.value === null ? 'nobody held out' : `Dice ${metric.value.toFixed(2)} (n ${metric.n})`;
}

/** `caudate`, `23 structures: brain, grey matter, ...`. */
function tasksText(tasks: readonly { readonly name: string }[]): string {
  const names = tasks.map(({ name }) => name);
  return names.length === 1 ? names[0] : `${names.length} structures: ${names.join(', ')}`;
}

function accuracyText(metric: MetricRecord): string {
  return metric.value === null ? 'no accuracy' : `accuracy ${metric.value.toFixed(2)} (n ${metric.n})`;
}

function heatScoreText(metric: MetricRecord): string {
  return metric.value === null ? 'no Heat-Score' : `Heat-Score ${metric.value.toFixed(2)} (n ${metric.n})`;
}

/** `0.83 (95 % interval 0.71 to 0.92), 40 cases`. */
export function metricText({ value, low, high, n, note }: MetricRecord, of: Counted): string {
  if (value === null) return `none${note ? `: ${note}` : ''}`;
  const interval =
    low === null || high === null ? '' : ` (95 % interval ${low.toFixed(3)} to ${high.toFixed(3)})`;
  return `${value.toFixed(3)}${interval}, ${counted(n, of)}`;
}

/** What a metric was taken over. */
type Counted = 'case' | 'map' | 'head';

function counted(n: number, of: Counted): string {
  return `${n} ${of}${n === 1 ? '' : 's'}`;
}

function number(value: number | null): string | undefined {
  return value === null ? undefined : value.toFixed(3);
}

function joined(parts: readonly (string | undefined | null | false)[]): string {
  return parts.filter(Boolean).join(' · ');
}
