import { networkInput } from '../model/input';
import type { Network } from '../model/network';
import { programWithLayer } from '../model/program';
import { receptiveGrid } from '../model/receptive-field';
import { awaited, type Steps } from '../model/steps';
import type { Grid, Volume } from '../volume/volume';
import { gradCamSteps, type CamRequest, type ClassMap } from './gradcam';
import { placeMap, type Alignment, type LayerMap } from './place-map';

export interface VolumeExplanation {
  readonly raw: ClassMap;
  /** The raw map with what is needed to put it on a grid. */
  readonly layerMap: LayerMap;
  /** The map on the input's grid. */
  readonly heat: Volume;
}

/**
 * A class map of one prepared image, placed on the image's grid.
 * @param channels one volume per input channel, all on `grid`
 */
export function explainVolume(
  network: Network,
  channels: readonly Volume[],
  grid: Grid,
  request: CamRequest & { readonly align: Alignment },
): Promise<VolumeExplanation> {
  return awaited(explainVolumeSteps(network, channels, grid, request));
}

/** {@link explainVolume}, step by step. */
export function* explainVolumeSteps(
  network: Network,
  channels: readonly Volume[],
  grid: Grid,
  request: CamRequest & { readonly align: Alignment },
): Steps<VolumeExplanation> {
  const x = networkInput(channels, network.spec);
  try {
    const raw = yield* gradCamSteps(network, x, request);
    const { program, value } = programWithLayer(network.spec, request.layer);
    const layerMap: LayerMap = {
      data: raw.data,
      shape: raw.shape,
      axes: network.spec.axes,
      receptive: receptiveGrid(program, value),
    };
    return { raw, layerMap, heat: placeMap(layerMap, grid, request.align) };
  } finally {
    x.dispose();
  }
}
