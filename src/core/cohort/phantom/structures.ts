/** One labelled structure of the phantom: its number in `dseg` and the signal that it has before gain and noise. */
export interface Structure {
  readonly number: number;
  readonly name: string;
  /** Signal relative to white matter in T1w. */
  readonly t1w: number;
  /** Signal relative to cortex in FLAIR. */
  readonly flair: number;
  /** Belongs to the brain (the brain mask is the union of these). */
  readonly brain: boolean;
}

/**
 * The 23 labelled structures. Left and right share a number: a task that asks for one side cannot survive the left-right
 * flips of augmentation, while four lobes, insula and internal capsule can. Hippocampus, amygdala and insula are brighter
 * than other cortex on FLAIR, as they are in healthy people.
 */
export const PHANTOM_STRUCTURES = [
  { number: 1, name: 'scalp and face', t1w: 0.95, flair: 0.62, brain: false },
  { number: 2, name: 'skull', t1w: 0.16, flair: 0.12, brain: false },
  { number: 3, name: 'cerebrospinal fluid', t1w: 0.22, flair: 0.15, brain: false },
  { number: 4, name: 'frontal cortex', t1w: 0.62, flair: 1, brain: true },
  { number: 5, name: 'parietal cortex', t1w: 0.62, flair: 1, brain: true },
  { number: 6, name: 'temporal cortex', t1w: 0.62, flair: 1, brain: true },
  { number: 7, name: 'occipital cortex', t1w: 0.62, flair: 1, brain: true },
  { number: 8, name: 'insular cortex', t1w: 0.62, flair: 1.03, brain: true },
  { number: 9, name: 'cerebral white matter', t1w: 1, flair: 0.72, brain: true },
  { number: 10, name: 'internal capsule', t1w: 1, flair: 0.74, brain: true },
  { number: 11, name: 'corpus callosum', t1w: 1.05, flair: 0.66, brain: true },
  { number: 12, name: 'lateral ventricles', t1w: 0.2, flair: 0.13, brain: true },
  { number: 13, name: 'third ventricle', t1w: 0.2, flair: 0.14, brain: true },
  { number: 14, name: 'fourth ventricle', t1w: 0.2, flair: 0.16, brain: true },
  { number: 15, name: 'caudate', t1w: 0.68, flair: 0.93, brain: true },
  { number: 16, name: 'putamen', t1w: 0.72, flair: 0.92, brain: true },
  { number: 17, name: 'pallidum', t1w: 0.86, flair: 0.76, brain: true },
  { number: 18, name: 'thalamus', t1w: 0.8, flair: 0.9, brain: true },
  { number: 19, name: 'hippocampus', t1w: 0.64, flair: 1.06, brain: true },
  { number: 20, name: 'amygdala', t1w: 0.64, flair: 1.06, brain: true },
  { number: 21, name: 'brainstem', t1w: 0.9, flair: 0.8, brain: true },
  { number: 22, name: 'cerebellar cortex', t1w: 0.64, flair: 0.98, brain: true },
  { number: 23, name: 'cerebellar white matter', t1w: 0.95, flair: 0.76, brain: true },
] as const satisfies readonly Structure[];

export type StructureName = (typeof PHANTOM_STRUCTURES)[number]['name'];

/** Label number of every structure. */
export const LABEL = Object.fromEntries(
  PHANTOM_STRUCTURES.map(({ name, number }) => [name, number]),
) as Readonly<Record<StructureName, number>>;
