import { basename } from 'node:path';
import { describeStrategy, isStrategyName } from '../../protocol/catalogue';
import type { InitRecord } from '../../protocol/run';
import type { Modality } from '../cohort/cohort';
import { InputError, messageOf } from '../errors';
import { sha256Of } from '../files/sha256';
import { checkpointMeta, checkpointPath } from '../model/checkpoint';
import { differencesFromTraining } from '../model/import-record';
import { loadedTensors, reportOn } from '../model/load-weights';
import type { Network } from '../model/network';
import { CLASSIFIER } from '../model/recognise';
import type { NetworkSpec } from '../model/spec';
import { describeEntry, readCatalogue, strategyWeights } from '../transfer/catalogue';
import { spreadStem } from '../transfer/spread-stem';
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

/** What a run will see and how the weights were asked for, as far as the weights' record tells of it. */
export interface InitContext {
  /** The modality of the run: weights of another one are a transfer across modalities, which is said. */
  readonly modality?: Modality;
  /** The name under which the file was asked for; its first convolution may then be spread over several channels. */
  readonly strategy?: string;
}

/**
 * What `--init` names: `none`, a strategy of the catalogue of weights (`single:<task>`, `multi:<tasks>`), or a file or run
 * directory.
 * @throws InputError as {@link examineInit}, and where the catalogue has nothing for this network
 */
export async function examineStart(
  init: string,
  spec: NetworkSpec,
  modality: Modality,
  sameNamesAreOthers: boolean,
): Promise<ExaminedInit> {
  if (init === 'none') return NO_INIT;
  if (!isStrategyName(init)) return examineInit(init, spec, sameNamesAreOthers, { modality });
  const { entry, path } = await strategyWeights(init, spec, modality, await readCatalogue());
  const examined = await examineInit(path, spec, sameNamesAreOthers, { modality, strategy: init });
  return { ...examined, sentences: [`${describeEntry(entry)}.`, ...examined.sentences] };
}

/**
 * Looks at weights to start from: a file or a run directory. Tensors are matched by name and shape; the classifier may
 * differ and then stays fresh.
 * @throws InputError where the file is no weights, nothing fits, or more than the classifier has another shape
 */
export async function examineInit(
  path: string,
  spec: NetworkSpec,
  sameNamesAreOthers: boolean,
  { modality, strategy }: InitContext = {},
): Promise<ExaminedInit> {
  const file = await checkpointPath(path);
  return withWeights(file, async (weights) => {
    const meta = checkpointMeta(weights, file);
    const spreadOver =
      strategy !== undefined && spec.inChannels > 1 && meta?.spec.inChannels === 1
        ? spec.inChannels
        : undefined;
    const report = match(spec, weights, file, spreadOver);
    const source = meta?.modality ?? meta?.pretraining?.modality;
    const record: FileInit = {
      kind: 'file',
      ...(strategy !== undefined && { strategy }),
      path: file,
      sha256: await sha256Of(file),
      loaded: report.loaded.length,
      fresh: [...report.missing, ...report.mismatched.map(({ name }) => name)].sort(),
      ...(spreadOver !== undefined && { spreadOver }),
      ...(source !== undefined && { sourceModality: source }),
      seen: meta?.seen ? [...meta.seen] : null,
      sameNamesAreOthers,
    };
    const said = describe(record, report, meta?.imported?.trained ?? meta?.spec, spec);
    return { record, sentences: [...said, ...acrossModalities(source, modality)] };
  });
}

/** Copies the weights that a run starts from into its network. @throws InputError where the file is another one by now */
export async function loadInit(network: Network, init: InitRecord): Promise<void> {
  if (init.kind === 'none') return;
  if ((await sha256Of(init.path)) !== init.sha256)
    throw new InputError(
      `${init.path} has changed since this run began, so it would start from other weights than run.json says. Start a new run.`,
    );
  const { spreadOver } = init;
  await withWeights(init.path, async (weights) => {
    const report = match(network.spec, weights, init.path, spreadOver);
    for await (const { name, shape, data } of loadedTensors(weights, report, true)) {
      const spread = spreadOver !== undefined && name === STEM;
      const values = spread ? spreadStem.values(data, shape, spreadOver) : data;
      // Filters are brought into another order, which copies them; an engine may keep the other arrays, and these are lent.
      network.weights.setFromBorder(name, shape.length === 5 ? values : values.slice());
    }
  });
}

const STEM = 'conv1.weight';

/** Says, where it is so, that weights come from another modality than the run's: allowed, and worth knowing. */
function acrossModalities(source: string | undefined, target: Modality | undefined): string[] {
  if (source === undefined || target === undefined || source === target || source === 'mixed') return [];
  return [
    `The weights were trained on ${source}, this run is on ${target}: a transfer across modalities. run.json says so.`,
  ];
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
  if (init.kind === 'none') return 'none';
  const name =
    init.strategy === undefined
      ? basename(init.path)
      : `${init.strategy}, ${describeStrategy(init.strategy)}`;
  const source = init.sourceModality === undefined ? '' : `, trained on ${init.sourceModality}`;
  return `${name} (${init.loaded} tensors${source})`;
}

/** @param spreadOver channels of the network where the file has one and is to be spread */
function match(spec: NetworkSpec, weights: OpenWeights, path: string, spreadOver?: number): LoadReport {
  let report: LoadReport;
  try {
    report = reportOn(spreadOver === undefined ? spec : { ...spec, inChannels: 1 }, weights.tensors);
  } catch (error) {
    if (error instanceof InputError)
      throw new InputError(`--init ${path}: ${messageOf(error)}`, { cause: error });
    throw error;
  }
  const stem = report.mismatched.find(({ name }) => name === STEM);
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
  if (init.spreadOver !== undefined)
    said.push(
      `The first convolution was spread over ${init.spreadOver} channels: its filters were copied and divided by ${init.spreadOver}, so that ${init.spreadOver} equal images give what one gave.`,
    );
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
