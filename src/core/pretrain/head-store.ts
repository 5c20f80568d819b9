import { contrastsOf, type Modality } from '../cohort/cohort';
import { prepareScan } from '../cohort/prepared-case';
import { InputError } from '../errors';
import { channelsLast } from '../model/input';
import type { NetworkSpec } from '../model/spec';
import type { SampleShape } from '../train/augment';
import { voxelSizes } from '../volume/affine';
import { shapeInAxes, toTensorOrder } from '../volume/axes';
import { readNifti } from '../volume/nifti-read';
import type { MaskSource, Recipe } from '../volume/recipe';
import { resample } from '../volume/resample';
import type { Shape3, Triple } from '../volume/volume';
import type { LabelledHead } from './heads';
import type { LabelCodes } from './label-codes';

/** A head ready for a segmentation network. */
export interface LabelledSample {
  readonly participantId: string;
  readonly source: string;
  /** Row-major [D, H, W, C]. */
  readonly data: Float32Array;
  /** Row-major [D, H, W]: codes of {@link LabelCodes}. */
  readonly codes: Uint16Array;
  readonly shape: SampleShape;
  /** i x j x k, and voxel sizes in mm. */
  readonly grid: { readonly shape: Shape3; readonly spacing: Triple };
  readonly brainSource: MaskSource;
}

/** Prepares heads once and keeps them in memory: the epochs of a fit and the folds of a cross-validation share them. */
export class HeadStore {
  private readonly stored = new Map<string, LabelledSample>();
  private readonly byId: ReadonlyMap<string, LabelledHead>;

  constructor(
    heads: readonly LabelledHead[],
    readonly codes: LabelCodes,
    readonly modality: Modality,
    readonly recipe: Recipe,
    readonly spec: NetworkSpec,
  ) {
    this.byId = new Map(heads.map((head) => [head.participantId, head]));
  }

  has(participantId: string): boolean {
    return this.stored.has(participantId);
  }

  head(participantId: string): LabelledHead {
    const head = this.byId.get(participantId);
    if (!head) throw new Error(`The store does not know ${participantId}.`);
    return head;
  }

  /** @throws InputError that names the file, also where no voxel of the label map belongs to a task */
  async get(participantId: string): Promise<LabelledSample> {
    const known = this.stored.get(participantId);
    if (known) return known;
    const sample = await this.prepare(this.head(participantId));
    this.stored.set(participantId, sample);
    return sample;
  }

  private async prepare(head: LabelledHead): Promise<LabelledSample> {
    const { recipe, spec, codes } = this;
    const images = contrastsOf(this.modality, head).map((contrast) => head.images[contrast] ?? '');
    const { channels, brainSource } = await prepareScan(images, head.brain, recipe);
    const grid = { shape: channels[0].shape, affine: channels[0].affine };
    const map = resample((await readNifti(head.labels)).volume, grid, 'nearest');
    const encoded = codes.encode(map);
    if (!encoded.some((code) => code > 0))
      throw new InputError(
        `${head.labels}: no voxel on the prepared grid of ${grid.shape.join(' x ')} has a number of any task. Check that it is the label map of ${head.participantId}, that the numbers in the tasks file are its own, and that --shape leaves the brain in.`,
      );
    const [d, h, w] = shapeInAxes(grid.shape, spec.axes);
    const sizes = voxelSizes(grid.affine);
    return {
      participantId: head.participantId,
      source: head.source,
      data: channelsLast(channels, spec),
      codes: toTensorOrder({ ...grid, data: encoded }, spec.axes),
      shape: [d, h, w, spec.inChannels],
      grid: { shape: grid.shape, spacing: [sizes[0], sizes[1], sizes[2]] },
      brainSource,
    };
  }
}
