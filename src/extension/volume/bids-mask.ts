/**
 * The lesion mask of a BIDS scan: `*_roi.nii[.gz]` of the same subject (and visit) in the scan's own folder. In
 * ds004199 it is drawn on the FLAIR, and serves the T1w as well, since overlays are placed by their affine.
 */

const NIFTI = /\.nii(\.gz)?$/i;
const MASK_ENDING = '_roi';

/**
 * The scan that a lesion mask is drawn on, by name: alone, a mask is a white patch.
 *
 * @returns undefined where the file is no BIDS mask or the scan does not lie beside it.
 */
export function bidsScanOf(maskName: string, folder: readonly string[]): string | undefined {
  const match = /^(sub-.+)_roi\.nii(\.gz)?$/i.exec(maskName);
  if (!match) return undefined;
  return [`${match[1]}.nii.gz`, `${match[1]}.nii`].find((name) => folder.includes(name));
}

/**
 * @param imageName file name of the scan.
 * @param folder names of the files beside it.
 * @returns the mask's file name; undefined where the scan is no BIDS scan, is a mask itself, or has none.
 */
export function bidsMaskOf(imageName: string, folder: readonly string[]): string | undefined {
  const stem = imageName.replace(NIFTI, '');
  const visit = /^sub-[^_]+(_ses-[^_]+)?/.exec(stem)?.[0];
  if (visit === undefined || stem.endsWith(MASK_ENDING) || !NIFTI.test(imageName)) return undefined;
  const masks = folder
    .filter((name) => NIFTI.test(name))
    .map((name) => ({ name, stem: name.replace(NIFTI, '') }))
    .filter((mask) => mask.stem.endsWith(MASK_ENDING) && mask.stem.startsWith(`${visit}_`))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const own = masks.find((mask) => mask.stem === `${stem}${MASK_ENDING}`);
  const drawnOnFlair = masks.find((mask) => mask.stem.endsWith(`_FLAIR${MASK_ENDING}`));
  return (own ?? drawnOnFlair ?? masks[0])?.name;
}
