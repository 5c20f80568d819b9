import { createHash } from 'node:crypto';
import * as path from 'node:path';

/** What a class map follows from: the same choices write the same file. */
export interface MapChoices {
  readonly image: string;
  readonly model: string;
  readonly layer: string;
  readonly method: string;
  readonly class: string;
}

/** `sub-01_FLAIR_layer4_gradcam_fcd_1a2b3c4d.nii.gz`: the last part tells models and folders of one name apart. */
export function mapName({ image, model, layer, method, class: of }: MapChoices): string {
  const stem = path.basename(image).replace(/\.nii(\.gz)?$/i, '');
  const origin = createHash('sha256').update(`${image}\n${model}`).digest('hex').slice(0, 8);
  return `${[stem, layer, method, of, origin].join('_').replace(/[^\w.-]+/g, '-')}.nii.gz`;
}
