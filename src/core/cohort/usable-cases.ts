import { CONTRASTS, contrastsOf, type Case, type Cohort, type Contrast, type Modality } from './cohort';

export interface CaseSelection {
  /** Cases that have every image of the modality, by participant id. */
  readonly usable: readonly Case[];
  readonly excluded: readonly { readonly case: Case; readonly reason: string }[];
}

/**
 * The cases that can be used with a modality and, for the others, why not. A lesion mask is not asked for. With `mixed`,
 * every image of a contrast becomes a case of its own; its id says which (`sub-01_T1w`), its source stays the head's, so
 * that both are always in the same fold.
 */
export function casesWith(cohort: Pick<Cohort, 'cases'>, modality: Modality): CaseSelection {
  const usable: Case[] = [];
  const excluded: { case: Case; reason: string }[] = [];
  for (const one of cohort.cases) {
    if (modality === 'mixed') {
      const alone = CONTRASTS.filter((contrast) => one.images[contrast] !== undefined);
      usable.push(...alone.map((contrast) => withOne(one, contrast)));
      if (alone.length === 0) excluded.push({ case: one, reason: 'has neither a T1w nor a FLAIR image' });
      continue;
    }
    const reasons = contrastsOf(modality, one)
      .filter((contrast) => one.images[contrast] === undefined)
      .map((contrast) => one.unavailable?.[contrast] ?? `has no ${contrast} image`);
    if (reasons.length === 0) usable.push(one);
    else excluded.push({ case: one, reason: reasons.join('; ') });
  }
  return { usable, excluded };
}

/** One image of a head as a case; its twin is the other version of the head in the same contrast. */
function withOne(one: Case, contrast: Contrast): Case {
  return {
    ...one,
    participantId: `${one.participantId}_${contrast}`,
    ...(one.twin !== undefined && { twin: `${one.twin}_${contrast}` }),
    images: { [contrast]: one.images[contrast] },
  };
}
