import type { Lobe } from './lesion-signs';

/** What a MUSE / DLMUSE label number stands for, as far as planting needs it. */
export enum Tissue {
  Outside,
  Csf,
  Cortex,
  LobarWhite,
  OtherWhite,
  DeepGrey,
  CerebellarCortex,
  Ventricle,
}

const range = (first: number, last: number): number[] =>
  Array.from({ length: last - first + 1 }, (_, n) => first + n);

/** Cortex runs from 100 to 207 (right even, left odd), the four lobes' white matter from 81 to 88 (right odd, left even). */
const NUMBERS: Readonly<Record<Exclude<Tissue, Tissue.Outside>, readonly number[]>> = {
  [Tissue.Csf]: [1, 46],
  [Tissue.Cortex]: range(100, 207),
  [Tissue.LobarWhite]: range(81, 88),
  // Brainstem, cerebellar white matter, ventral diencephalon, optic chiasm, fornix, internal capsule, corpus callosum.
  [Tissue.OtherWhite]: [35, 40, 41, 61, 62, 69, ...range(89, 95)],
  // Accumbens, amygdala, caudate, hippocampus, pallidum, putamen, thalamus, basal forebrain.
  [Tissue.DeepGrey]: [23, 30, 31, 32, 36, 37, 47, 48, ...range(55, 60), 75, 76],
  [Tissue.CerebellarCortex]: [38, 39, 71, 72, 73],
  [Tissue.Ventricle]: [4, 11, 49, 50, 51, 52],
};

/** Tissue by label number. */
export const TISSUE_OF_LABEL: Uint8Array = table((set) => {
  for (const [tissue, numbers] of Object.entries(NUMBERS))
    for (const number of numbers) set(number, Number(tissue));
});

/** Lateral ventricles: where a funnel leads to. */
export const LATERAL_VENTRICLES: readonly number[] = [49, 50, 51, 52];

/** Cortex of each lobe. MUSE counts the insula as frontal; here it stands alone. Limbic cortex belongs to no lobe. */
export const LOBE_CORTEX: Readonly<Record<Lobe, readonly number[]>> = {
  frontal: [
    ...[104, 105, 112, 113, 118, 119, 120, 121, 124, 125, 136, 137, 140, 141, 142, 143, 146, 147, 150, 151],
    ...[152, 153, 162, 163, 164, 165, 174, 175, 178, 179, 182, 183, 186, 187, 190, 191, 192, 193, 204, 205],
  ],
  parietal: [106, 107, 148, 149, 168, 169, 176, 177, 194, 195, 198, 199],
  temporal: [122, 123, 132, 133, 154, 155, 180, 181, 184, 185, 200, 201, 202, 203, 206, 207],
  insular: [102, 103, 172, 173],
  occipital: [108, 109, 114, 115, 128, 129, 134, 135, 144, 145, 156, 157, 160, 161, 196, 197],
};

/** Side by label number, for cortex and lobar white matter: 1 right, 2 left, 0 elsewhere. */
export const SIDE_OF_LABEL: Uint8Array = table((set) => {
  for (const number of NUMBERS[Tissue.Cortex]) set(number, 1 + (number % 2));
  for (const number of NUMBERS[Tissue.LobarWhite]) set(number, 2 - (number % 2));
});

function table(fill: (set: (number: number, value: number) => void) => void): Uint8Array {
  const values = new Uint8Array(256);
  fill((number, value) => (values[number] = value));
  return values;
}
