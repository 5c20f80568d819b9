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
