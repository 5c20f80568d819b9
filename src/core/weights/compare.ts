import { bareName, USUAL_PREFIXES } from './load-report';
import { numbersOf } from './numbers';
import type { OpenWeights, TensorInfo } from './open-weights';
import type { NamedTensor } from './tensors';

/** Two tensors that stand for each other in two files. */
export interface TensorPair {
  readonly name: string;
  readonly other: string;
  readonly shape: readonly number[];
}

/** What two files have in common. */
export interface WeightsMatch {
  readonly pairs: readonly TensorPair[];
  /** Only in the first file. */
  readonly missing: readonly string[];
  /** Only in the second file. */
  readonly unexpected: readonly string[];
  readonly mismatched: readonly {
    readonly name: string;
    readonly here: readonly number[];
    readonly there: readonly number[];
  }[];
}

/** How far a tensor moved from the first file to the second. */
export interface TensorChange extends TensorPair {
  /** Values that are finite in both; everything below is over them. */
  readonly compared: number;
  /** Values that are not finite in one of them or in both. */
  readonly notFinite: number;
  /** How many differ. */
  readonly changed: number;
  /** Euclidean length of the first, and of the difference. */
  readonly length: number;
  readonly l2: number;
  /** l2 / length: 0 did not move, 1 moved as far as it is long. Null where the first is 0 and the second is not. */
  readonly relative: number | null;
  /** Cosine of the angle between both; null where one of them is 0. */
  readonly cosine: number | null;
  /** Largest absolute difference. */
  readonly max: number;
}

/**
 * Which tensors stand for each other: those of one name, else of one name without the usual prefixes (`module.`), where
 * that is not ambiguous.
 */
export function matchWeights(
  here: ReadonlyMap<string, TensorInfo>,
  there: ReadonlyMap<string, TensorInfo>,
): WeightsMatch {
  const bare = byBareName(there);
  const ambiguous = byBareName(here);
  const used = new Set<string>();
  const pairs: TensorPair[] = [];
  const missing: string[] = [];
  const mismatched: WeightsMatch['mismatched'][number][] = [];
  for (const [name, { shape }] of here) {
    const short = bareName(name, USUAL_PREFIXES);
    const rivals = ambiguous.get(short) ?? [];
    const [candidate, another] = bare.get(short) ?? [];
    const other = there.has(name)
      ? name
      : candidate !== undefined && another === undefined && rivals.length === 1 && !here.has(candidate)
        ? candidate
        : undefined;
    const found = other === undefined ? undefined : there.get(other);
    if (other === undefined || found === undefined) {
      missing.push(name);
      continue;
    }
    used.add(other);
    if (found.shape.length === shape.length && found.shape.every((length, axis) => length === shape[axis]))
      pairs.push({ name, other, shape });
    else mismatched.push({ name, here: shape, there: found.shape });
  }
  const unexpected = [...there.keys()].filter((name) => !used.has(name));
  return { pairs, missing, unexpected, mismatched };
}

function byBareName(tensors: ReadonlyMap<string, unknown>): Map<string, string[]> {
  const names = new Map<string, string[]>();
  for (const name of tensors.keys()) {
    const bare = bareName(name, USUAL_PREFIXES);
    names.set(bare, [...(names.get(bare) ?? []), name]);
  }
  return names;
}

/**
 * How far each pair moved, one pair in memory at a time, in the first file's best order of reading.
 * @param pause awaited every few milliseconds of work with the number of values that were compared since; may throw to stop
 */
export async function* changesBetween(
  here: OpenWeights,
  there: OpenWeights,
  pairs: readonly TensorPair[],
  pause: (values: number) => Promise<void> = async () => {},
): AsyncGenerator<TensorChange, void> {
  const byName = new Map(pairs.map((pair) => [pair.name, pair]));
  for await (const tensor of here.values({ only: new Set(byName.keys()), lent: true })) {
    const pair = byName.get(tensor.name);
    if (pair === undefined) throw new Error(`${tensor.name} was not asked for.`);
    for await (const other of there.values({ only: new Set([pair.other]), lent: true })) {
      const steps = changeInSteps(pair, tensor, other);
      for (let next = steps.next(); ; next = steps.next()) {
        if (next.done) {
          yield next.value;
          break;
        }
        await pause(next.value);
      }
    }
  }
}

const PIECE = 1 << 19;

/** The change between two tensors of one shape, in pieces: each step gives the number of values looked at. */
export function* changeInSteps(
  pair: TensorPair,
  here: NamedTensor,
  there: NamedTensor,
): Generator<number, TensorChange, void> {
  const total = here.data.length;
  const sums: Sums = { compared: 0, changed: 0, aa: 0, bb: 0, ab: 0, dd: 0, max: 0 };
  for (let at = 0; at < total; at += PIECE) {
    const end = Math.min(total, at + PIECE);
    addUp(numbersOf(here, at, end), numbersOf(there, at, end), sums);
    yield end - at;
  }
  const { compared, changed, aa, bb, dd, max } = sums;
  const l2 = Math.sqrt(dd);
  const length = Math.sqrt(aa);
  return {
    ...pair,
    ...{ compared, notFinite: total - compared, changed, length, l2, max },
    relative: l2 === 0 ? 0 : length === 0 ? null : l2 / length,
    cosine: aa === 0 || bb === 0 ? null : changed === 0 ? 1 : cosineOf(sums),
  };
}

/** Rounding may lift it above 1. */
function cosineOf({ aa, bb, ab }: Sums): number {
  return Math.max(-1, Math.min(1, ab / (Math.sqrt(aa) * Math.sqrt(bb))));
}

interface Sums {
  compared: number;
  changed: number;
  aa: number;
  bb: number;
  ab: number;
  dd: number;
  max: number;
}

function addUp(a: Float32Array | Float64Array, b: Float32Array | Float64Array, sums: Sums): void {
  let compared = 0;
  let changed = 0;
  let aa = 0;
  let bb = 0;
  let ab = 0;
  let dd = 0;
  let max = sums.max;
  for (let i = 0; i < a.length; i++) {
    const x = a[i];
    const y = b[i];
    const d = y - x;
    if (d - d !== 0) continue; // not finite in one of them
    compared++;
    aa += x * x;
    bb += y * y;
    ab += x * y;
    if (d === 0) continue;
    changed++;
    dd += d * d;
    const size = d < 0 ? -d : d;
    if (size > max) max = size;
  }
  sums.compared += compared;
  sums.changed += changed;
  sums.aa += aa;
  sums.bb += bb;
  sums.ab += ab;
  sums.dd += dd;
  sums.max = max;
}

/** Those that moved furthest first; from nothing to something is the furthest. */
export function byRelativeChange(changes: readonly TensorChange[]): TensorChange[] {
  return [...changes].sort((a, b) => (b.relative ?? Infinity) - (a.relative ?? Infinity) || b.l2 - a.l2);
}
