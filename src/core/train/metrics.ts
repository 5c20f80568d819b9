import { InputError } from '../errors';
import { byCluster, clusterInterval } from '../stats/cluster';
import { wilsonInterval } from '../stats/proportion';
import { rocAuc } from '../stats/ranking';

/** What a model said about one case that it had not been trained on. */
export interface Prediction {
  readonly participantId: string;
  /** The head the case stems from; intervals are resampled by it. */
  readonly source: string;
  /** 0 = control, 1 = fcd. */
  readonly yTrue: 0 | 1;
  /** (control, fcd) */
  readonly logits: readonly [number, number];
}

/** A number with its 95 % interval, or null with the reason why there is none; never NaN. */
export interface Metric {
  readonly value: number | null;
  /** Null where there is no value, or where fewer than two sources leave nothing to resample. */
  readonly low: number | null;
  readonly high: number | null;
  /** Predictions that the value is computed from: for sensitivity those of fcd cases, for specificity of controls. */
  readonly n: number;
  /** Sources among them. */
  readonly sources: number;
  /** Why there is no value or no interval, or how the interval was made where it is not the cluster bootstrap. */
  readonly note?: string;
}

export const METRIC_NAMES = [
  'accuracy',
  'balancedAccuracy',
  'sensitivity',
  'specificity',
  'f1',
  'auc',
] as const;
export type MetricName = (typeof METRIC_NAMES)[number];
export type ClassificationMetrics = Readonly<Record<MetricName, Metric>>;

/** Softmax probability of fcd. */
export function fcdProbability([control, fcd]: readonly [number, number]): number {
  return 1 / (1 + Math.exp(control - fcd));
}

/** The class with the larger logit; control where they are equal (as argmax has it). */
export function predictedClass([control, fcd]: readonly [number, number]): 0 | 1 {
  return fcd > control ? 1 : 0;
}

interface Definition {
  readonly of: (predictions: readonly Prediction[]) => number | null;
  /** Which predictions count; all where it is absent. */
  readonly counts?: (prediction: Prediction) => boolean;
  /** Whether it is a share of right answers, to which Wilson's interval applies. */
  readonly proportion?: true;
  readonly undefinedBecause: string;
}

const isFcd = ({ yTrue }: Prediction): boolean => yTrue === 1;
const isControl = ({ yTrue }: Prediction): boolean => yTrue === 0;
const ONE_CLASS = 'needs both fcd cases and controls';

const DEFINITIONS: Readonly<Record<MetricName, Definition>> = {
  accuracy: { of: shareRight, proportion: true, undefinedBecause: 'there are no predictions' },
  balancedAccuracy: { of: balancedAccuracy, undefinedBecause: ONE_CLASS },
  sensitivity: {
    of: shareRight,
    counts: isFcd,
    proportion: true,
    undefinedBecause: 'there are no fcd cases',
  },
  specificity: {
    of: shareRight,
    counts: isControl,
    proportion: true,
    undefinedBecause: 'there are no controls',
  },
  f1: { of: f1, undefinedBecause: 'there are neither fcd cases nor predictions of fcd' },
  auc: {
    of: (predictions) =>
      rocAuc(
        predictions.map(({ logits: [control, fcd] }) => fcd - control),
        predictions.map(({ yTrue }) => yTrue),
      ),
    undefinedBecause: ONE_CLASS,
  },
};

/**
 * Accuracy, balanced accuracy (mean of sensitivity and specificity), sensitivity (recall of fcd), specificity, F1 of fcd
 * and AUC of the logit difference, each with a 95 % percentile interval from a bootstrap over sources. Where a share is 0
 * or 1 that interval would be a point: then Wilson's interval over the number of sources stands in, and the note says so.
 * Throws on logits that are not finite.
 */
export function classificationMetrics(
  predictions: readonly Prediction[],
  options: { readonly seed: number; readonly resamples?: number },
): ClassificationMetrics {
  for (const { participantId, logits } of predictions)
    if (!logits.every(Number.isFinite))
      throw new InputError(
        `The prediction of ${participantId} has the logits ${logits.join(', ')}; they must be finite.`,
      );
  return Object.fromEntries(
    METRIC_NAMES.map((name) => [name, metricOf(DEFINITIONS[name], predictions, options)]),
  ) as Record<MetricName, Metric>;
}

function metricOf(
  { of, counts, proportion, undefinedBecause }: Definition,
  predictions: readonly Prediction[],
  options: { readonly seed: number; readonly resamples?: number },
): Metric {
  const counted = counts === undefined ? predictions : predictions.filter(counts);
  const value = of(counted);
  const sources = byCluster(counted, ({ source }) => source).size;
  const about = { value, n: counted.length, sources };
  if (value === null) return { ...about, low: null, high: null, note: undefinedBecause };
  if (proportion && sources > 0 && (value === 0 || value === 1)) {
    const { low, high } = wilsonInterval(value * sources, sources);
    return { ...about, low, high, note: `all ${sources} sources agree: Wilson interval over sources` };
  }
  const interval = clusterInterval(counted, ({ source }) => source, of, options);
  if (interval === null) return { ...about, low: null, high: null, note: 'one source: nothing to resample' };
  const { low, high, undefinedResamples, resamples } = interval;
  if (low === high)
    return { ...about, low, high, note: 'every resample has this value: the interval says little' };
  if (undefinedResamples === 0) return { ...about, low, high };
  return {
    ...about,
    low,
    high,
    note: `undefined in ${undefinedResamples} of ${resamples} resamples, which are left out`,
  };
}

function shareRight(predictions: readonly Prediction[]): number | null {
  if (predictions.length === 0) return null;
  let right = 0;
  for (const { yTrue, logits } of predictions) if (predictedClass(logits) === yTrue) right++;
  return right / predictions.length;
}

function balancedAccuracy(predictions: readonly Prediction[]): number | null {
  const { tp, fn, tn, fp } = confusion(predictions);
  if (tp + fn === 0 || tn + fp === 0) return null;
  return (tp / (tp + fn) + tn / (tn + fp)) / 2;
}

function f1(predictions: readonly Prediction[]): number | null {
  const { tp, fn, fp } = confusion(predictions);
  return tp + fn + fp === 0 ? null : (2 * tp) / (2 * tp + fn + fp);
}

/** How many predictions of fcd (positive) and control (negative) are true and false. */
export function confusion(predictions: readonly Prediction[]): {
  tp: number;
  fn: number;
  tn: number;
  fp: number;
} {
  const cells = { tp: 0, fn: 0, tn: 0, fp: 0 };
  for (const { yTrue, logits } of predictions) {
    const said = predictedClass(logits);
    if (yTrue === 1) cells[said === 1 ? 'tp' : 'fn']++;
    else cells[said === 0 ? 'tn' : 'fp']++;
  }
  return cells;
}
