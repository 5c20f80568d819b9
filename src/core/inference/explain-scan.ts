import type { PreparedScan } from '../cohort/prepared-case';
import type { Cam } from '../explain/cam-file';
import { explainVolumeSteps } from '../explain/explain-volume';
import type { CamRequest } from '../explain/gradcam';
import type { Alignment } from '../explain/place-map';
import type { LoadedNetwork } from '../model/checkpoint';
import type { Steps } from '../model/steps';
import type { Recipe } from '../volume/recipe';
import type { Volume } from '../volume/volume';
import { className, predictionOf, type Prediction } from './predict-scan';

/** What is explained, and how people call it. */
export interface ScanToExplain {
  readonly scan: Pick<PreparedScan, 'channels'>;
  readonly recipe: Recipe;
  /** Image as the person named it; several channels are separated by commas. */
  readonly name: string;
}

export interface ScanExplanation {
  /** The raw map, with everything that is needed to put it on a scan and to say where it comes from. */
  readonly cam: Cam;
  /** The map on the network's input grid. */
  readonly heat: Volume;
  readonly class: string;
  readonly logit: number;
  readonly prediction: Prediction;
  /** Extreme values of the raw map. */
  readonly min: number;
  readonly max: number;
}

/** A class map of one prepared scan with its record, step by step. */
export function* explainScan(
  { network, path }: Pick<LoadedNetwork, 'network' | 'path'>,
  { scan, recipe, name }: ScanToExplain,
  request: CamRequest & { readonly align: Alignment },
): Steps<ScanExplanation> {
  const { shape, affine } = scan.channels[0];
  const { raw, layerMap, heat } = yield* explainVolumeSteps(
    network,
    scan.channels,
    { shape, affine },
    request,
  );
  const max = raw.data.reduce((a, b) => Math.max(a, b), -Infinity);
  const min = raw.data.reduce((a, b) => Math.min(a, b), Infinity);
  const logit = raw.logits[raw.classIndex];
  const prediction = predictionOf(raw.logits);
  return {
    cam: {
      map: layerMap,
      record: {
        schemaVersion: 1,
        participantId: name.split(',')[0],
        layer: request.layer,
        class: { index: raw.classIndex, name: className(raw.classIndex) },
        method: request.method,
        align: request.align,
        logit,
        axes: network.spec.axes,
        receptive: layerMap.receptive,
        grid: { shape, affine: [...affine] },
        recipe: { ...recipe },
        image: name,
        model: path,
        flags: max === 0 ? ['all-zero-map'] : [],
      },
    },
    heat,
    class: className(raw.classIndex),
    logit,
    prediction,
    min,
    max,
  };
}
