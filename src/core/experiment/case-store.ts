import { totalmem } from 'node:os';
import { contrastsOf, type Case, type Modality } from '../cohort/cohort';
import { prepareCase, type PreparedCase } from '../cohort/prepared-case';
import { InputError } from '../errors';
import { channelsLast, channelVolumes } from '../model/input';
import type { NetworkSpec } from '../model/spec';
import type { Sample } from '../train/sample';
import { voxelSizes } from '../volume/affine';
import { shapeInAxes } from '../volume/axes';
import { readNiftiHeader } from '../volume/nifti-read';
import type { MaskSource, Recipe } from '../volume/recipe';
import { voxelCount, type Volume } from '../volume/volume';

/** A case without its channels: they are in the sample, in the network's layout. */
export interface StoredCase extends Omit<PreparedCase, 'channels'> {
  readonly sample: Sample;
}

/** What decides how cases are prepared. */
export interface Preparation {
  readonly modality: Modality;
  readonly recipe: Recipe;
  readonly spec: NetworkSpec;
}

/** From this share of the machine's memory on, a cohort that is kept in memory deserves a warning. */
const WORRYING_SHARE = 0.6;

/** Prepares cases once and keeps them in memory: the epochs of a fit and the folds of a cross-validation share them. */
export class CaseStore {
  private readonly stored = new Map<string, StoredCase>();
  private readonly byId: ReadonlyMap<string, Case>;

  constructor(
    private readonly cases: readonly Case[],
    readonly preparation: Preparation,
  ) {
    this.byId = new Map(cases.map((one) => [one.participantId, one]));
  }

  case(participantId: string): Case {
    const found = this.byId.get(participantId);
    if (!found) throw new Error(`The store does not know ${participantId}.`);
    return found;
  }

  /** Whether the case is in memory already. */
  has(participantId: string): boolean {
    return this.stored.has(participantId);
  }

  /** @throws InputError that names the file */
  async get(participantId: string): Promise<StoredCase> {
    let stored = this.stored.get(participantId);
    if (!stored) {
      const { modality, recipe, spec } = this.preparation;
      const { channels, ...rest } = await prepareCase(this.case(participantId), modality, recipe);
      const { source, twin, group } = rest.case;
      const [d, h, w] = shapeInAxes(rest.grid.shape, spec.axes);
      stored = {
        ...rest,
        sample: {
          participantId,
          source,
          twin,
          label: group === 'fcd' ? 1 : 0,
          data: channelsLast(channels, spec),
          shape: [d, h, w, spec.inChannels],
        },
      };
      this.stored.set(participantId, stored);
    }
    return stored;
  }

  /** The case in the network's layout. */
  async sample(participantId: string): Promise<Sample> {
    return (await this.get(participantId)).sample;
  }

  /** The case's channels as volumes, in the network's order. */
  async channels(participantId: string): Promise<Volume[]> {
    const { sample, grid } = await this.get(participantId);
    return channelVolumes(sample.data, grid, this.preparation.spec);
  }

  /** Which kinds of brain mask the cases have, each once. */
  async brainSources(participantIds: readonly string[]): Promise<MaskSource[]> {
    const cases = await Promise.all(participantIds.map((id) => this.get(id)));
    return [...new Set(cases.map(({ brainSource }) => brainSource))].sort();
  }

  /** Bytes that all cases will take, from the images' headers: channels in float32, masks in a byte per voxel. */
  async bytesNeeded(): Promise<number> {
    const { modality, recipe } = this.preparation;
    let bytes = 0;
    for (const one of this.cases) {
      const contrasts = contrastsOf(modality, one);
      const path = one.images[contrasts[0]];
      if (path === undefined) continue;
      const masks = one.roi ? 2 : 1;
      bytes += (await preparedVoxels(path, recipe)) * (4 * contrasts.length + masks);
    }
    return bytes;
  }

  /**
   * Undefined where all cases fit into memory easily, else a sentence for a person.
   * @throws InputError where they cannot fit
   */
  async memoryAdvice(memory = machineMemory()): Promise<string | undefined> {
    const needed = await this.bytesNeeded();
    if (needed <= WORRYING_SHARE * memory) return undefined;
    const what = `${this.cases.length} cases of this size take about ${gigabytes(needed)} GB of memory, and this machine has ${gigabytes(memory)} GB`;
    const remedy = 'choose a coarser --spacing, a smaller --shape, or fewer cases';
    if (needed > memory) throw new InputError(`${what}. They do not fit: ${remedy}.`);
    return `${what}, of which the network needs some too. Should it run out, ${remedy}.`;
  }
}

async function preparedVoxels(path: string, recipe: Recipe): Promise<number> {
  if (recipe.shape) return voxelCount(recipe.shape);
  const { shape, affine } = await readNiftiHeader(path);
  if (!recipe.spacing) return voxelCount(shape);
  const volume = voxelSizes(affine).reduce((product, mm) => product * mm, voxelCount(shape));
  return volume / recipe.spacing.reduce((product, mm) => product * mm);
}

/** Memory of the machine, or what a container or a cluster's job may have of it. */
function machineMemory(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(totalmem(), limit) : totalmem();
}

function gigabytes(bytes: number): string {
  return (bytes / 1e9).toFixed(1);
}
