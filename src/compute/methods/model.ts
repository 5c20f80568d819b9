import { examineModel } from '../../core/inference/open-model';
import { className } from '../../core/inference/predict-scan';
import { mappableLayers } from '../../core/model/program';
import { describeSpec, type NetworkSpec } from '../../core/model/spec';
import type { ComputeParams, ModelListing } from '../../protocol/compute';
import type { Job } from '../job';

/** What a checkpoint is and which layers can be asked for. Nothing is computed, so no engine is opened. */
export async function model(params: ComputeParams<'model'>, job: Job): Promise<ModelListing> {
  job.say('Reading the network');
  const { path, meta, remarks } = await examineModel(params.model, givenNetwork(params));
  const { arch, geometry, shortcut, width, axes, inChannels, classes } = meta.spec;
  const layers = mappableLayers(meta.spec);
  return {
    path: params.model,
    file: path,
    title: describeSpec(meta.spec),
    arch,
    geometry,
    shortcut,
    width,
    axes,
    inChannels,
    classes: Array.from({ length: classes }, (_, index) => className(index)),
    modality: meta.modality ?? null,
    recipe: meta.recipe !== undefined,
    seen: meta.seen ? [...meta.seen] : null,
    layers,
    stages: layers.filter((layer) => /^layer\d+$/.test(layer)),
    remarks: [...remarks],
  };
}

/** What the request says of the network that its file does not. */
export function givenNetwork({ network }: Pick<ComputeParams<'model'>, 'network'>): Partial<NetworkSpec> {
  return network ?? {};
}
