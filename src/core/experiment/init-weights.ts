import { basename } from 'node:path';
import type { InitRecord } from '../../protocol/run';
import { InputError, messageOf } from '../errors';
import { sha256Of } from '../files/sha256';
import { checkpointMeta, checkpointPath, fillNetwork } from '../model/checkpoint';
import { differencesFromTraining } from '../model/import-record';
import { reportOn } from '../model/load-weights';
import type { Network } from '../model/network';
import { CLASSIFIER } from '../model/recognise';
import type { NetworkSpec } from '../model/spec';
import type { LoadReport } from '../weights/load-report';
import type { OpenWeights } from '../weights/open-weights';
import { withWeights } from '../weights/read-weights';

type FileInit = Extract<InitRecord, { kind: 'file' }>;

/** Weights to start from, looked at before a run begins. */
export interface ExaminedInit {
  readonly record: InitRecord;
  /** For a person: what was loaded, what was not, what is not known. */
  readonly sentences: readonly string[];
}

export const NO_INIT: ExaminedInit = { record: { kind: 'none' }, sentences: [] };

/**
 * Looks at weights to start from: a file or a run directory. Tensors are matched by name and shape; the classifier may
 * differ and then stays fresh.
 * @throws InputError where the file is no weights, nothing fits, or more than the classifier has another shape
 */
export async function examineInit(
  path: string,
  spec: NetworkSpec,
  sameNamesAreOthers: boolean,
): Promise<ExaminedInit> {
  const file = await checkpointPath(path);
  return withWeights(file, async (weights) => {
    const report = match(spec, weights, file);
    const meta = checkpointMeta(weights, file);
    const record: InitRecord = {
      kind: 'file',
      path: file,
      sha256: await sha256Of(file),
      loaded: report.loaded.length,
      fresh: [...report.missing, ...report.mismatched.map(({ name }) => name)].sort(),
      seen: meta?.seen ? [...meta.seen] : null,
      sameNamesAreOthers,
    };
    return { record, sentences: describe(record, report, meta?.imported?.trained ?? meta?.spec, spec) };
  });
}

/** Copies the weights that a run starts from into its network. @throws InputError where the file is another one by now */
export async function loadInit(network: Network, init: InitRecord): Promise<void> {
  if (init.kind === 'none') return;
  if ((await sha256Of(init.path)) !== init.sha256)
    throw new InputError(
      `${init.path} has changed since this run began, so it would start from other weights than run.json says. Start a new run.`,
    );
  await withWeights(init.path, (weights) =>
    fillNetwork(network, weights, match(network.spec, weights, init.path)),
  );
}

/**
 * Refuses weights that have seen a head which this run tests or validates on: the result would be too good.
 * @param heldOut sources of the test and validation cases
 */
export function requireUnseen(init: InitRecord, heldOut: readonly string[]): void {
  if (init.kind === 'none' || init.sameNamesAreOthers || init.seen === null) return;
  const seen = new Set(init.seen);
  const both = [...new Set(heldOut)].filter((source) => seen.has(source)).sort();
  if (both.length === 0) return;
  const named = both.length <= 5 ? both.join(', ') : `${both.slice(0, 5).join(', ')}, ...`;
  throw new InputError(
    `${init.path} was trained on ${both.length} of the heads that this run is tested or validated on (${named}): its result would be too good. ` +
      `Choose weights that have not seen them: fcd pretrain holds the same heads out with the same --fold and --seed; if these heads only share their names with others, say so with --init-same-names.`,
  );
}

/** Heads that weights have seen once a run has trained on `sources`. */
export function seenAfter(init: InitRecord, sources: readonly string[]): string[] {
  const before = init.kind === 'file' ? (init.seen ?? []) : [];
  return [...new Set([...before, ...sources])].sort();
}

/** `none`, or the file's name, for people. */
export function describeInit(init: InitRecord): string {
  return init.kind === 'none' ? 'none' : `${basename(init.path)} (${init.loaded} tensors)`;
}

function match(spec: NetworkSpec, weights: OpenWeights, path: string): LoadReport {
  let report: LoadReport;
  try {
    report = reportOn(spec, weights.tensors);
  } catch (error) {
    if (error instanceof InputError)
      throw new InputError(`--init ${path}: ${messageOf(error)}`, { cause: error });
    throw error;
  }
  const stem = report.mismatched.find(({ name }) => name === 'conv1.weight');
  if (stem?.found[1] === 1 && stem.expected[1] > 1)
    throw new InputError(
      `--init ${path}: its first convolution takes 1 channel, the network ${stem.expected[1]}. Spread it over them first, and use what comes out: ` +
        `fcd import ${path} --in-channels ${stem.expected[1]} --out FILE.`,
    );
  const wrong = report.mismatched.filter(({ name }) => !CLASSIFIER.test(name));
  if (wrong.length > 0)
    throw new InputError(
      `--init ${path}: ${wrong.length} tensors have another shape than the network, the first being ${wrong[0].name}: ${wrong[0].found.join(' x ')} in the file, ${wrong[0].expected.join(' x ')} expected. ` +
        'Only the classifier (fc) may differ. Choose the --arch, --width, --shortcut and --modality that the weights belong to.',
    );
  return report;
}

function describe(
  init: FileInit,
  report: LoadReport,
  trained: Pick<NetworkSpec, 'geometry' | 'axes'> | undefined,
  spec: NetworkSpec,
): string[] {
  const said = [
    `Weights from ${init.path}: ${report.loaded.length} tensors loaded, ${init.fresh.length} stay fresh${init.fresh.length > 0 ? ` (${some(init.fresh)})` : ''}.`,
  ];
  const unused = report.unexpected;
  if (report.prefixStripped.length > 0)
    said.push(`The prefix ${report.prefixStripped.join(', ')} was taken off its names.`);
  if (unused.length > 0) said.push(`${unused.length} of its tensors are not used: ${some(unused)}.`);
  if (trained) said.push(...differencesFromTraining(trained, spec));
  if (init.seen === null)
    said.push(
      'The file does not say which heads its weights have seen, so nobody can check that held-out heads are not among them.',
    );
  return said;
}

function some(names: readonly string[]): string {
  return names.length <= 4
    ? names.join(', ')
    : `${names.slice(0, 4).join(', ')} and ${names.length - 4} more`;
}
