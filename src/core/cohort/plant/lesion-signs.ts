import { InputError } from '../../errors';
import type { Random } from '../../random';

export type Lobe = 'frontal' | 'parietal' | 'temporal' | 'occipital' | 'insular';

/** Where the 85 lesions of OpenNeuro ds004199 lie (first lobe named): the odds of a lesion's lobe. */
export const LOBE_COUNTS: Readonly<Record<Lobe, number>> = {
  frontal: 55,
  parietal: 15,
  temporal: 10,
  insular: 3,
  occipital: 2,
};

/** Signs of one FCD type II lesion. */
export interface LesionSigns {
  readonly lobe: Lobe;
  /** Volume of the mask, funnel included. */
  readonly volumeMl: number;
  /** How much thicker the cortex is, in mm. */
  readonly thickeningMm: number;
  /** FLAIR signal over normal cortex, as a share: 0.2 = 20 % brighter. */
  readonly hyperintensity: number;
  /** Share of the grey-white contrast that T1w loses. */
  readonly contrastLoss: number;
  /** Funnel from the cortex to the ventricle (transmantle sign). */
  readonly transmantle: boolean;
}

/** Ranges that the signs are drawn from; FCD type II as MRI shows it. */
export const SIGN_RANGES = {
  volumeMl: [1, 30],
  thickeningMm: [2, 4],
  hyperintensity: [0.1, 0.3],
  contrastLoss: 0.1,
  transmantle: 0.4,
} as const;

/**
 * How strongly lesions change brightness, by difficulty 0..1: 2 at 0 (plain to see), 1 at 0.5 (the published ranges),
 * 0 at 1: there a lesion is made of normal tissues in the wrong place, and no intensity threshold finds it.
 */
export function brightnessFactor(difficulty: number): number {
  if (!(difficulty >= 0 && difficulty <= 1))
    throw new InputError(
      `Difficulty is ${difficulty}; give a number from 0 (easy) to 1 (no brightness change).`,
    );
  return 2 * (1 - difficulty);
}

/**
 * Draws one lesion: volume log-uniform, lobe by the odds of {@link LOBE_COUNTS}, the rest uniform in
 * {@link SIGN_RANGES}. The draws do not depend on difficulty: the same seed gives the same lesion, only brighter or not.
 */
export function drawLesionSigns(
  random: Random,
  difficulty: number,
  leastVolumeMl: number = SIGN_RANGES.volumeMl[0],
): LesionSigns {
  const brightness = brightnessFactor(difficulty);
  const total = Object.values(LOBE_COUNTS).reduce((sum, count) => sum + count, 0);
  let ticket = random.integer(total);
  let lobe: Lobe = 'frontal';
  for (const [name, count] of Object.entries(LOBE_COUNTS) as [Lobe, number][]) {
    lobe = name;
    ticket -= count;
    if (ticket < 0) break;
  }
  return {
    lobe,
    volumeMl: Math.exp(random.uniform(Math.log(leastVolumeMl), Math.log(SIGN_RANGES.volumeMl[1]))),
    thickeningMm: random.uniform(...SIGN_RANGES.thickeningMm),
    hyperintensity: random.uniform(...SIGN_RANGES.hyperintensity) * brightness,
    contrastLoss: SIGN_RANGES.contrastLoss * brightness,
    transmantle: random.chance(SIGN_RANGES.transmantle),
  };
}
