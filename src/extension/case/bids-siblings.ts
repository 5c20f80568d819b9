/**
 * The images of one subject by name: what a network of another modality than the open scan's wants. A BIDS scan's
 * siblings lie in its folder and share subject and session.
 */

export type Contrast = 'T1w' | 'FLAIR';

const SCAN = /^(sub-[^_]+(?:_ses-[^_]+)?)(_.*)?_(T1w|FLAIR)\.nii(\.gz)?$/;

/** The contrast that a file's name states; undefined where it is no BIDS scan. */
export function contrastOf(name: string): Contrast | undefined {
  const contrast = SCAN.exec(name)?.[3];
  return contrast === 'T1w' || contrast === 'FLAIR' ? contrast : undefined;
}

/** Name of the same subject's (and session's) scan of a contrast, among the names of the folder. */
export function siblingOf(name: string, folder: readonly string[], contrast: Contrast): string | undefined {
  const visit = SCAN.exec(name)?.[1];
  if (visit === undefined) return undefined;
  if (contrastOf(name) === contrast) return name;
  return [...folder].sort().find((other) => {
    const match = SCAN.exec(other);
    return match?.[1] === visit && match[3] === contrast;
  });
}

/**
 * Where the brain mask of a BIDS scan lies, as the library looks for it: the folder `derivatives/masks/<subject>[/<ses>]/anat`
 * of the data set, and in it the subject's `*_desc-brain_mask.nii[.gz]` that is in no template's space.
 *
 * @param parts the scan's path, split at its separators.
 */
export function brainMaskFolder(parts: readonly string[]): readonly string[] | undefined {
  const anat = parts.length - 2;
  if (anat < 1 || parts[anat] !== 'anat') return undefined;
  const subject = /^ses-/.test(parts[anat - 1]) ? anat - 2 : anat - 1;
  if (!/^sub-/.test(parts[subject] ?? '')) return undefined;
  return [...parts.slice(0, subject), 'derivatives', 'masks', ...parts.slice(subject, anat + 1)];
}

/** The brain mask among the names of that folder. */
export function brainMaskIn(name: string, folder: readonly string[]): string | undefined {
  const visit = SCAN.exec(name)?.[1];
  if (visit === undefined) return undefined;
  return [...folder]
    .sort()
    .find(
      (other) =>
        other.startsWith(`${visit}_`) &&
        /_desc-brain(_.*)?_mask\.nii(\.gz)?$/.test(other) &&
        !other.includes('_space-'),
    );
}
