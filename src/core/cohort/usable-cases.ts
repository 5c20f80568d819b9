import { contrastsOf, type Case, type Cohort, type Modality } from './cohort';

export interface CaseSelection {
  /** Cases that have every image of the modality, by participant id. */
  readonly usable: readonly Case[];
  readonly excluded: readonly { readonly case: Case; readonly reason: string }[];
}

/** The cases that can be used with a modality and, for the others, why not. A lesion mask is not asked for. */
export function casesWith(cohort: Cohort, modality: Modality): CaseSelection {
  const usable: Case[] = [];
  const excluded: { case: Case; reason: string }[] = [];
  for (const one of cohort.cases) {
    const reasons = contrastsOf(modality)
      .filter((contrast) => one.images[contrast] === undefined)
      .map((contrast) => one.unavailable?.[contrast] ?? `has no ${contrast} image`);
    if (reasons.length === 0) usable.push(one);
    else excluded.push({ case: one, reason: reasons.join('; ') });
  }
  return { usable, excluded };
}
