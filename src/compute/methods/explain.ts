import { maskOnGrid } from '../../core/cohort/prepared-case';
import { InputError } from '../../core/errors';
import { camToNifti } from '../../core/explain/cam-nifti';
import {
  DEFAULT_VARIANT,
  FLAG_MEANINGS,
  heatScoreOf,
  scoreMap,
  type LocalisationScores,
} from '../../core/explain/heat-score';
import { explainScan, type ScanExplanation } from '../../core/inference/explain-scan';
import { CLASS_NAMES, FCD } from '../../core/inference/predict-scan';
import type { Mask } from '../../core/volume/volume';
import type { ComputeParams, Explanation, HeatScoreMessage } from '../../protocol/compute';
import type { Job } from '../job';
import type { Resident } from '../resident';
import { openScan, predictionMessage, type AskedScan } from './predict';

/** Where a network looks in a scan: a class map as NIfTI, and how well it lies on the lesion where one is given. */
export function explain(
  params: ComputeParams<'explain'>,
  job: Job,
  resident: Resident,
): Promise<Explanation> {
  if (!/\.nii(\.gz)?$/.test(params.out))
    throw new InputError(`The map cannot be written to ${params.out}: its name must end in .nii or .nii.gz.`);
  return resident.alone(job, async () => {
    const asked = await openScan(params, job, resident);
    const lesion = await lesionOf(params, asked);
    const explained = await explainClass(params, asked, classIndexOf(params), job, [0.2, 0.8]);
    const ofFcd = await scoredMap(params, asked, lesion, explained, job);
    const heatScore = lesion.mask && ofFcd ? scoresOf(params, asked, lesion.mask, ofFcd) : null;

    job.say('Writing the map', 0.9);
    await job.breathe();
    const written = await camToNifti(params.out, explained.cam, asked.scan.subject);
    const { map, record } = explained.cam;
    return {
      out: written.nifti,
      provenance: written.provenance,
      image: params.images[0],
      layer: record.layer,
      class: explained.class,
      method: record.method,
      align: record.align,
      logit: explained.logit,
      prediction: predictionMessage(explained.prediction, asked),
      raw: { shape: [...map.shape], min: explained.min, max: explained.max },
      written: extremes(written.heat.data),
      heatScore,
      flags: [...record.flags],
      remarks: [...asked.remarks, ...lesion.remarks],
    };
  });
}

function classIndexOf(params: ComputeParams<'explain'>): number | undefined {
  return params.class === undefined ? undefined : CLASS_NAMES.indexOf(params.class);
}

async function explainClass(
  { images, layer, method, align }: ComputeParams<'explain'>,
  { model, scan, recipe }: AskedScan,
  classIndex: number | undefined,
  job: Job,
  span: readonly [number, number],
): Promise<ScanExplanation> {
  const subject = { scan, recipe, name: images.join(',') };
  return job.run(explainScan(model, subject, { layer, method, align, classIndex }), span, FORWARD);
}

/** All layers run forward, and those behind the explained one backward. */
const FORWARD = 0.7;

/** The lesion mask on the network's grid. A bad mask costs the score, not the map. */
async function lesionOf(
  { roi }: ComputeParams<'explain'>,
  { scan }: AskedScan,
): Promise<{ readonly mask?: Mask; readonly remarks: readonly string[] }> {
  if (roi === undefined) return { remarks: [] };
  try {
    const mask = await maskOnGrid(roi, scan.channels[0]);
    const inBrain = mask.data.some((inside, at) => inside === 1 && scan.brain.data[at] === 1);
    if (inBrain) return { mask, remarks: [] };
    const size = mask.shape.join(' x ');
    const why = mask.data.includes(1)
      ? 'the lesion mask lies entirely outside the brain mask'
      : `the lesion mask has no voxel on the prepared grid of ${size}`;
    return { remarks: [`No Heat-Score: ${roi}: ${why}. Check that it belongs to this scan.`] };
  } catch (error) {
    if (error instanceof InputError) return { remarks: [`No Heat-Score: ${error.message}`] };
    throw error;
  }
}

/** Heat-Scores ask where the evidence for fcd lies, whatever was explained. */
async function scoredMap(
  params: ComputeParams<'explain'>,
  asked: AskedScan,
  lesion: { readonly mask?: Mask },
  explained: ScanExplanation,
  job: Job,
): Promise<ScanExplanation | undefined> {
  if (!lesion.mask) return undefined;
  if (explained.cam.record.class.index === FCD) return explained;
  return explainClass(params, asked, FCD, job, [0.8, 0.9]);
}

function scoresOf(
  { roi, brain }: ComputeParams<'explain'>,
  { scan }: AskedScan,
  mask: Mask,
  { heat }: ScanExplanation,
): HeatScoreMessage {
  const scores = scoreMap({ heat, roi: mask, brain: scan.brain, names: { roi, brain } });
  return heatScoreMessage(scores);
}

function heatScoreMessage(scores: LocalisationScores): HeatScoreMessage {
  const { variant, score, roiMean, referenceMean } = heatScoreOf(scores, DEFAULT_VARIANT);
  const {
    massFraction,
    volumeFraction,
    pointing,
    pointing5mm,
    peakDistanceMm,
    auroc,
    averagePrecision,
    topDice,
  } = scores.companions;
  return {
    variant,
    score,
    roiMean,
    referenceMean,
    roiVoxels: scores.roi.voxels,
    roiMl: scores.roi.ml,
    brainMl: scores.brain.ml,
    variants: scores.heatScores.map((one) => ({ variant: one.variant, score: one.score })),
    companions: {
      massFraction,
      volumeFraction,
      pointing,
      pointing5mm,
      peakDistanceMm,
      auroc,
      averagePrecision,
      topDice,
    },
    flags: [...scores.flags],
    meanings: scores.flags.map((flag) => FLAG_MEANINGS[flag]),
  };
}

function extremes(data: Float32Array): { min: number; max: number } {
  let min = Infinity;
  let max = -Infinity;
  for (const value of data) {
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return { min, max };
}
