import { isFloating, numbersOf } from './numbers';
import { DTYPE_BYTES } from './tensors';
import type { Dtype, NamedTensor } from './tensors';

/** Counts of values in bins of equal width from `low` to `high`, as numpy.histogram counts them. */
export interface Histogram {
  readonly low: number;
  readonly high: number;
  readonly counts: readonly number[];
}

/** Output filters (rows along the first axis) that do nothing. */
export interface DeadFilters {
  /** Filters in all. */
  readonly filters: number;
  /** Numbers of the dead ones, from 0. */
  readonly dead: readonly number[];
}

/** One tensor in numbers. min, mean, sd, max and histogram are over the finite values; null where there is none. */
export interface TensorStatistics {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: Dtype;
  readonly bytes: number;
  readonly min: number | null;
  readonly mean: number | null;
  /** Standard deviation of the values themselves (divided by n, not n - 1). */
  readonly sd: number | null;
  readonly max: number | null;
  /** Values that are not a number. */
  readonly nan: number;
  /** Values that are plus or minus infinity. */
  readonly inf: number;
  /** Values that are exactly 0 (of either sign). */
  readonly zeros: number;
  readonly histogram: Histogram | null;
  /** Null for tensors without filters: those of less than two axes, and whole numbers. */
  readonly filters: DeadFilters | null;
}

/** Bins of a histogram; fewer where a tensor of whole numbers has fewer different values possible. */
export const BINS = 64;

/**
 * A filter is dead when its largest |weight| is at most this share of the layer's root mean square: it adds nothing that
 * the others would let be seen. Zero filters are; those that weight decay has shrunk to 1e-8 too.
 */
export const DEAD_SHARE = 1e-3;

/** Values looked at between two pauses: some milliseconds of work. */
const PIECE = 1 << 19;

/**
 * The statistics of a tensor, in pieces: each step gives how many values it has looked at since the last one, of twice
 * the tensor's number in all (once for the sums, once for deviations and histogram). NaN and infinities are counted and
 * left out of everything else.
 */
export function* statisticsInSteps(tensor: NamedTensor): Generator<number, TensorStatistics, void> {
  const { name, shape, dtype } = tensor;
  const total = tensor.data.length;
  const outputs = shape.length >= 2 && isFloating(dtype) && total > 0 ? shape[0] : 0;
  const perFilter = outputs > 0 ? total / outputs : Infinity;
  const largest = new Float64Array(outputs);
  const sums = { n: 0, nan: 0, inf: 0, zeros: 0, sum: 0, min: Infinity, max: -Infinity };

  for (let at = 0; at < total; at += PIECE) {
    const values = numbersOf(tensor, at, Math.min(total, at + PIECE));
    // A piece may end within a filter.
    for (let begin = 0; begin < values.length;) {
      const filter = outputs > 0 ? Math.floor((at + begin) / perFilter) : 0;
      const end = Math.min(values.length, (filter + 1) * perFilter - at);
      const most = addUp(values, begin, end, sums);
      if (outputs > 0 && most > largest[filter]) largest[filter] = most;
      begin = end;
    }
    yield values.length;
  }

  const { n, nan, inf, zeros, min, max } = sums;
  const row = { name, shape, dtype, bytes: total * DTYPE_BYTES[dtype], nan, inf, zeros };
  const none = { min: null, mean: null, sd: null, max: null, histogram: null };
  if (n === 0) return { ...row, ...none, filters: outputs > 0 ? { filters: outputs, dead: [] } : null };

  const mean = sums.sum / n;
  const bins = binsFor(dtype, min, max);
  const counts = new Float64Array(bins.edges.length - 1);
  let squares = 0;
  for (let at = 0; at < total; at += PIECE) {
    const values = numbersOf(tensor, at, Math.min(total, at + PIECE));
    squares += deviations(values, mean);
    count(values, bins.edges, counts);
    yield values.length;
  }
  const sd = Math.sqrt(squares / n);
  const limit = DEAD_SHARE * Math.hypot(mean, sd);
  const dead: number[] = [];
  for (let filter = 0; filter < outputs; filter++) if (largest[filter] <= limit) dead.push(filter);
  const histogram = { low: bins.edges[0], high: bins.edges[counts.length], counts: [...counts] };
  return {
    ...row,
    ...{ min, mean, sd, max, histogram },
    filters: outputs > 0 ? { filters: outputs, dead } : null,
  };
}

/** {@link statisticsInSteps} without a pause. */
export function statisticsOf(tensor: NamedTensor): TensorStatistics {
  const steps = statisticsInSteps(tensor);
  for (;;) {
    const next = steps.next();
    if (next.done) return next.value;
  }
}

interface Sums {
  n: number;
  nan: number;
  inf: number;
  zeros: number;
  sum: number;
  min: number;
  max: number;
}

/** Adds a stretch of values to the sums; gives the largest absolute value, infinity where one is not finite. */
function addUp(values: Float32Array | Float64Array, begin: number, end: number, sums: Sums): number {
  let { min, max } = sums;
  let sum = 0;
  let n = 0;
  let zeros = 0;
  let low = Infinity;
  let high = -Infinity;
  for (let i = begin; i < end; i++) {
    const value = values[i];
    if (value - value !== 0) {
      if (Number.isNaN(value)) sums.nan++;
      else sums.inf++;
      continue;
    }
    n++;
    sum += value;
    if (value === 0) zeros++;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low < min) min = low;
  if (high > max) max = high;
  // Stretch by stretch, so that rounding of a sum of millions stays that of thousands.
  sums.sum += sum;
  sums.n += n;
  sums.zeros += zeros;
  sums.min = min;
  sums.max = max;
  return n < end - begin ? Infinity : Math.max(high, -low);
}

function deviations(values: Float32Array | Float64Array, mean: number): number {
  let squares = 0;
  for (let i = 0; i < values.length; i++) {
    const deviation = values[i] - mean;
    if (deviation - deviation === 0) squares += deviation * deviation;
  }
  return squares;
}

/** Edges of the bins. Whole numbers in a small range have a bin each; one value alone stands in a bin one wide. */
function binsFor(dtype: Dtype, min: number, max: number): { readonly edges: Float64Array } {
  if (!isFloating(dtype) && max - min < BINS) return { edges: evenly(min - 0.5, max + 0.5, max - min + 1) };
  if (min === max) return { edges: Float64Array.of(min - 0.5, min + 0.5) };
  return { edges: evenly(min, max, BINS) };
}

/** As numpy.linspace: the last edge is exact. */
function evenly(low: number, high: number, bins: number): Float64Array {
  const step = (high - low) / bins;
  const edges = new Float64Array(bins + 1);
  for (let i = 0; i < bins; i++) edges[i] = i * step + low;
  edges[bins] = high;
  return edges;
}

/** A value on an edge belongs to the bin above it, the highest value to the last bin. */
function count(values: Float32Array | Float64Array, edges: Float64Array, counts: Float64Array): void {
  const last = counts.length - 1;
  const low = edges[0];
  const perUnit = counts.length / (edges[counts.length] - low);
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (value - value !== 0) continue;
    let bin = Math.min(last, Math.floor((value - low) * perUnit));
    // Rounding may put a value that lies on an edge, or next to one, a bin too low or too high.
    if (value < edges[bin]) bin--;
    else if (bin < last && value >= edges[bin + 1]) bin++;
    counts[bin]++;
  }
}
