import { readdir } from 'node:fs/promises';
import * as path from 'node:path';
import type { ModelListing } from '../../protocol/compute';
import { brainMaskFolder, brainMaskIn, contrastOf, siblingOf, type Contrast } from './bids-siblings';

/** The images that go into a network, in its order; the first one's grid is the map's. */
export interface CaseImages {
  readonly images: readonly string[];
  /** Why other images were taken than the one that was asked for. */
  readonly remarks: readonly string[];
}

/**
 * @param image the scan that was asked for.
 * @param second the other channel, where it was given.
 * @throws Error with a sentence where the network wants an image that is not there.
 */
export async function imagesFor(
  model: Pick<ModelListing, 'modality' | 'inChannels' | 'title'>,
  image: string,
  second: string | null | undefined,
): Promise<CaseImages> {
  const name = path.basename(image);
  const { modality } = model;
  if (modality === 'mixed') return { images: [image], remarks: [] };
  if (model.inChannels === 1 && (modality === null || contrastOf(name) === undefined))
    return { images: [image], remarks: [] };
  if (second) return { images: [image, second], remarks: [] };
  const wanted: Contrast[] = modality === null || modality === 'T1w+FLAIR' ? ['T1w', 'FLAIR'] : [modality];
  const folder = await readdir(path.dirname(image)).catch(() => []);
  const images = wanted.map((contrast) => {
    const sibling = siblingOf(name, folder, contrast);
    if (sibling === undefined)
      throw new Error(
        `${model.title} was trained on ${wanted.join(' and ')} images, and beside ${name} there is no ${contrast} image of the same subject. Put it there, or choose another model.`,
      );
    return path.join(path.dirname(image), sibling);
  });
  const other = wanted.length === 1 && images[0] !== image;
  return {
    images,
    remarks: other
      ? [
          `The model was trained on ${wanted[0]} images, so ${path.basename(images[0])} was taken and not ${name}.`,
        ]
      : [],
  };
}

/** The brain mask that the scan's cohort has of it, so that it is prepared as in training; null where there is none. */
export async function brainMaskOf(image: string): Promise<string | null> {
  const parts = brainMaskFolder(image.split(path.sep));
  if (!parts) return null;
  const folder = parts.join(path.sep);
  const mask = brainMaskIn(path.basename(image), await readdir(folder).catch(() => []));
  return mask === undefined ? null : path.join(folder, mask);
}
