import type { PreparedScan } from '../../core/cohort/prepared-case';
import type { OpenedModel } from '../../core/inference/open-model';
import * as inference from '../../core/inference/predict-scan';
import { brainMaskRemark, recipeOf } from '../../core/inference/preparation';
import { requireChannels } from '../../core/model/input';
import type { Recipe } from '../../core/volume/recipe';
import type { ComputeParams, Prediction } from '../../protocol/compute';
import type { Job } from '../job';
import type { Resident } from '../resident';
import { givenNetwork } from './model';

/** A network and a scan that it can be asked about. */
export interface AskedScan {
  readonly model: OpenedModel;
  readonly scan: PreparedScan;
  readonly recipe: Recipe;
  /** What a reader of the answer must know. */
  readonly remarks: readonly string[];
}

/** What a network says about a scan. */
export function predict(params: ComputeParams<'predict'>, job: Job, resident: Resident): Promise<Prediction> {
  return resident.alone(job, async () => {
    const asked = await openScan(params, job, resident);
    const { network } = asked.model;
    const said = await job.run(inference.predictScan(network, asked.scan.channels), [0.2, 1]);
    return predictionMessage(said, asked);
  });
}

/** Opens the network and prepares the scan that a request names, or takes what is still in memory. */
export async function openScan(
  params: ComputeParams<'predict'>,
  job: Job,
  resident: Resident,
): Promise<AskedScan> {
  const model = await resident.model(params.model, givenNetwork(params), job);
  requireChannels(params.images.length, model.meta.spec);
  const { recipe, remark } = recipeOf(model.meta);
  await job.breathe();
  const scan = await resident.scan(params.images, params.brain, recipe, job);
  await job.breathe();
  const brain = brainMaskRemark(scan, model.meta);
  const remarks = [
    ...model.remarks,
    ...(remark ? [`${remark}.`] : []),
    ...(brain.another ? [`${brain.text[0].toUpperCase()}${brain.text.slice(1)}.`] : []),
  ];
  return { model, scan, recipe, remarks };
}

export function predictionMessage(
  { logits, probability, predicted }: inference.Prediction,
  { scan, remarks }: AskedScan,
): Prediction {
  return {
    logits: [...logits],
    probability,
    predicted,
    brainSource: scan.brainSource,
    remarks: [...remarks],
  };
}
