import type { CohortListing } from '../../protocol/compute';
import type { TrainAnswers } from './answers';

type Modality = TrainAnswers['modality'];

/** What of a cohort a network of each modality can be trained on. */
export type ModalityCounts = Readonly<Record<Modality, { readonly count: number; readonly text: string }>>;

/** Cases that have the images of a modality; of `mixed` the images themselves. */
export function modalityCounts({ subjects }: Pick<CohortListing, 'subjects'>): ModalityCounts {
  const having = (...contrasts: readonly ('T1w' | 'FLAIR')[]): number =>
    subjects.filter(({ images }) => contrasts.every((contrast) => images[contrast] !== undefined)).length;
  const cases = (count: number): ModalityCounts[Modality] => ({
    count,
    text: `${count} of ${subjects.length} cases`,
  });
  const images = having('T1w') + having('FLAIR');
  return {
    FLAIR: cases(having('FLAIR')),
    T1w: cases(having('T1w')),
    'T1w+FLAIR': cases(having('T1w', 'FLAIR')),
    mixed: { count: images, text: `${images} images` },
  };
}

/** The modality that was asked for where the cohort has images of it, else the first of the list that it has. */
export function atHand(wanted: Modality, offered: readonly Modality[], counts: ModalityCounts): Modality {
  if (counts[wanted].count > 0) return wanted;
  return offered.find((modality) => counts[modality].count > 0) ?? wanted;
}
