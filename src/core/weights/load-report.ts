import { InputError } from '../errors';

/** What wrappers put before the names: DataParallel, and models that hold the network as a part. */
export const USUAL_PREFIXES: readonly string[] = ['module.', 'backbone.', 'encoder.', 'model.', 'net.'];

const BATCH_COUNTER = 'num_batches_tracked';

export interface ExpectedTensor {
  readonly name: string;
  readonly shape: readonly number[];
}

export interface Mismatch {
  readonly name: string;
  readonly expected: readonly number[];
  readonly found: readonly number[];
}

/** What became of every tensor when a file meets a network. Every expected name is in one of the first three lists. */
export interface LoadReport {
  /** Expected and found in the right shape. */
  readonly loaded: readonly string[];
  /** Expected, not found. */
  readonly missing: readonly string[];
  /** Found under the expected name in another shape: not loaded. */
  readonly mismatched: readonly Mismatch[];
  /** Found, not expected; by the file's own names. */
  readonly unexpected: readonly string[];
  /** The file's name of each loaded tensor, by the expected name. */
  readonly sources: Readonly<Record<string, string>>;
  /** The prefixes that were taken off, e.g. `module.` or `module.encoder.`; empty where names fitted as they were. */
  readonly prefixStripped: readonly string[];
  /** Counters of batch norm (`num_batches_tracked`) that the file has and the network does not need. */
  readonly batchCounters: number;
}

/**
 * Matches the tensors a network expects with those of a file, by name and shape. A name that fits as it is wins; else
 * prefixes are taken off, the fewest first. Throws an {@link InputError} where two tensors would answer to one name,
 * and where nothing at all could be loaded: a loader that then says nothing has trained from random weights.
 */
export function matchTensors(
  expected: readonly ExpectedTensor[],
  found: ReadonlyMap<string, { readonly shape: readonly number[] }>,
  { stripPrefixes = USUAL_PREFIXES }: { readonly stripPrefixes?: readonly string[] } = {},
): LoadReport {
  const wanted = new Set(expected.map(({ name }) => name));
  const answers = new Map<string, { source: string; prefix: string; stripped: number }>();
  for (const source of found.keys()) {
    const answer = answerOf(source, wanted, stripPrefixes);
    if (answer === undefined) continue;
    const rival = answers.get(answer.name);
    if (rival !== undefined && rival.stripped === answer.stripped)
      throw new InputError(
        `Both "${rival.source}" and "${source}" of the file would become "${answer.name}". ` +
          `Save only the part that is meant.`,
      );
    if (rival === undefined || answer.stripped < rival.stripped)
      answers.set(answer.name, { source, ...answer });
  }

  const loaded: string[] = [];
  const missing: string[] = [];
  const mismatched: Mismatch[] = [];
  const sources: Record<string, string> = {};
  const used = new Set<string>();
  const prefixes = new Set<string>();
  for (const { name, shape } of expected) {
    const answer = answers.get(name);
    const tensor = answer && found.get(answer.source);
    if (answer === undefined || tensor === undefined) {
      missing.push(name);
      continue;
    }
    used.add(answer.source);
    if (answer.prefix !== '') prefixes.add(answer.prefix);
    if (sameShape(shape, tensor.shape)) {
      loaded.push(name);
      sources[name] = answer.source;
    } else mismatched.push({ name, expected: shape, found: tensor.shape });
  }
  const left = [...found.keys()].filter((name) => !used.has(name));
  const unexpected = left.filter((name) => !isBatchCounter(name));
  if (loaded.length === 0) throw new InputError(nothingLoaded(expected, found, mismatched));
  return {
    loaded,
    missing,
    mismatched,
    unexpected,
    sources,
    prefixStripped: [...prefixes],
    batchCounters: left.length - unexpected.length,
  };
}

/** The expected name that a file's name stands for, after as few prefixes as possible are taken off. */
function answerOf(
  source: string,
  wanted: ReadonlySet<string>,
  prefixes: readonly string[],
): { name: string; prefix: string; stripped: number } | undefined {
  let name = source;
  for (let stripped = 0; ; stripped++) {
    if (wanted.has(name)) return { name, prefix: source.slice(0, source.length - name.length), stripped };
    const prefix = prefixes.find((p) => p !== '' && name.startsWith(p));
    if (prefix === undefined) return undefined;
    name = name.slice(prefix.length);
  }
}

/** A name without any of the prefixes that it begins with. */
export function bareName(name: string, prefixes: readonly string[] = USUAL_PREFIXES): string {
  for (let bare = name; ;) {
    const prefix = prefixes.find((p) => p !== '' && bare.startsWith(p));
    if (prefix === undefined) return bare;
    bare = bare.slice(prefix.length);
  }
}

function isBatchCounter(name: string): boolean {
  return name === BATCH_COUNTER || name.endsWith(`.${BATCH_COUNTER}`);
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((length, axis) => length === b[axis]);
}

function nothingLoaded(
  expected: readonly ExpectedTensor[],
  found: ReadonlyMap<string, unknown>,
  mismatched: readonly Mismatch[],
): string {
  const start = `None of the ${expected.length} tensors that the network expects could be loaded`;
  if (mismatched.length > 0) {
    const [first] = mismatched;
    return (
      `${start}: ${mismatched.length} have another shape in the file (${first.name}: [${first.found.join(', ')}] instead of ` +
      `[${first.expected.join(', ')}]). Choose the architecture and width that the weights belong to.`
    );
  }
  const some = (names: readonly string[]): string => names.slice(0, 3).join(', ') || 'nothing';
  return (
    `${start}: the file has ${some([...found.keys()])}, the network ${some(expected.map(({ name }) => name))}. ` +
    `Choose the architecture that the weights belong to, or name the prefix to take off.`
  );
}
