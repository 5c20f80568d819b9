import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  describeStrategy,
  parseCatalogueContents,
  type Catalogue,
  type CatalogueEntry,
  type CatalogueHead,
} from '../../protocol/catalogue';
import { InputError, messageOf } from '../errors';
import { sha256Of } from '../files/sha256';
import type { NetworkSpec } from '../model/spec';

const FILE = 'catalogue.json';

/** A folder of weights with its catalogue. */
export interface CatalogueFolder {
  readonly folder: string;
  readonly weights: Catalogue;
  /** Whole segmentation networks. */
  readonly heads: readonly CatalogueHead[];
}

/**
 * The catalogue of the weights that come with the program.
 * @param folder where it lies; `FCD_MODELS`, else `models/` above the running program
 * @throws InputError where the catalogue is not there or not valid
 */
export async function readCatalogue(
  folder = process.env.FCD_MODELS ?? modelsFolder(),
): Promise<CatalogueFolder> {
  const path = join(folder, FILE);
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new InputError(`The catalogue of weights cannot be read: ${messageOf(error)}.`);
  });
  try {
    return { folder, ...parseCatalogueContents(text, path) };
  } catch (error) {
    throw new InputError(messageOf(error), { cause: error });
  }
}

/** `models/` of the checkout or of the installed extension, whether this runs from dist/ or from source. */
function modelsFolder(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'models', FILE))) return join(folder, 'models');
    if (folder === dirname(folder))
      throw new InputError('There is no folder models/ with a catalogue of weights beside this program.');
  }
}

/** A strategy's weights for one network. */
export interface StrategyWeights {
  readonly entry: CatalogueEntry;
  /** Absolute path of the file; its bytes are those of the catalogue. */
  readonly path: string;
}

/** What of a network decides whether weights fit: their tensors, and the function that these compute. */
type Fits = Pick<NetworkSpec, 'arch' | 'geometry' | 'shortcut' | 'width' | 'axes' | 'inChannels'>;

/**
 * The catalogue's weights of a strategy for a network. A first convolution of one channel fits networks of several: it
 * is spread over them. Of several that fit, those of as many channels come first, then those of the wanted contrast, then
 * those of mixed ones.
 * @param modality what the network will see
 * @throws InputError that says what exists, where nothing fits; and where a file is missing or has other bytes
 */
export async function strategyWeights(
  strategy: string,
  spec: Fits,
  modality: string,
  { folder, weights }: Pick<CatalogueFolder, 'folder' | 'weights'>,
): Promise<StrategyWeights> {
  const entry = weights
    .filter((one) => one.strategy === strategy && fits(one, spec))
    .sort((a, b) => preference(b, spec, modality) - preference(a, spec, modality))
    .at(0);
  if (!entry) throw new InputError(nothingFits(strategy, spec, weights));
  const path = join(folder, entry.file);
  if (!existsSync(path))
    throw new InputError(
      `--init ${strategy}: the catalogue names ${path}, which is not there. Get the program's models/ folder again.`,
    );
  if ((await sha256Of(path)) !== entry.sha256)
    throw new InputError(
      `--init ${strategy}: ${path} has other bytes than the catalogue says (sha256 ${entry.sha256.slice(0, 12)}...): it is damaged or was replaced. Get the program's models/ folder again, or name your own file with --init FILE.`,
    );
  return { entry, path };
}

function fits(one: CatalogueEntry, spec: Fits): boolean {
  return (
    one.arch === spec.arch &&
    one.geometry === spec.geometry &&
    // The two kinds of A have the same tensors and the same function; only their gradients differ.
    (one.shortcut === 'B') === (spec.shortcut === 'B') &&
    one.width === spec.width &&
    one.axes === spec.axes &&
    (one.inChannels === spec.inChannels || one.inChannels === 1)
  );
}

function preference(one: CatalogueEntry, spec: Fits, modality: string): number {
  const contrast = one.modality === modality ? 2 : one.modality === 'mixed' ? 1 : 0;
  return (one.inChannels === spec.inChannels ? 3 : 0) + contrast;
}

function nothingFits(strategy: string, spec: Fits, weights: Catalogue): string {
  const asked = `--init ${strategy}: there are no such weights for ${describe({ ...spec, strategy })}`;
  const own = `Pre-train your own with fcd pretrain --arch ${spec.arch} --geometry ${spec.geometry} --width ${share(spec.width)} --tasks FILE --out RUN, and give --init RUN.`;
  const same = weights.filter((one) => one.strategy === strategy);
  if (same.length > 0) {
    const [first] = [...same].sort((a, b) => Number(b.arch === spec.arch) - Number(a.arch === spec.arch));
    const flags = `--arch ${first.arch} --geometry ${first.geometry} --shortcut ${first.shortcut} --width ${share(first.width)} --axes ${first.axes}`;
    return `${asked}. It exists for ${same.map(describe).join('; ')}: give ${flags}, for instance. ${own}`;
  }
  if (weights.length === 0) return `${asked}: no weights come with this program. ${own}`;
  const others = [...new Set(weights.map((one) => one.strategy))].sort().join(', ');
  return `${asked}. The strategies that exist are none, ${others}, or a file. ${own}`;
}

/** `resnet18 of width 1/4, compact, shortcut A, axes ijk`. */
function describe(one: Fits | CatalogueEntry): string {
  const channels = one.inChannels === 1 ? '' : `, ${one.inChannels} channels`;
  return `${one.arch} of width ${share(one.width)}, ${one.geometry}, shortcut ${one.shortcut}, axes ${one.axes}${channels}`;
}

function share(width: number): string {
  return width === 1 ? '1' : `1/${1 / width}`;
}

/** `TL from 23 segmentation tasks: 23 tasks on phantoms, mean Dice 0.83 on 10 held-out heads, 1.9 MB`, for people. */
export function describeEntry(one: CatalogueEntry): string {
  const dice =
    one.dice === null ? '' : `, mean Dice ${one.dice.mean.toFixed(2)} on ${one.dice.heads} held-out heads`;
  return `${describeStrategy(one.strategy)}: ${one.data}${dice}, ${(one.bytes / 1e6).toFixed(1)} MB`;
}
