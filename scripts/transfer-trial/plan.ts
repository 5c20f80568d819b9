import type { TrainingConfig } from '../../src/core/train/config';

/** One contrast; a trial compares transfer from one to the other and to itself. */
export type Contrast = 'T1w' | 'FLAIR';

/** `none` starts from random weights; `none-compute` too, with the pre-training's compute added as further epochs. */
export const ARMS = ['none', 'none-compute', 'single', 'multi'] as const;
export type Arm = (typeof ARMS)[number];

/** Source modality of the pre-training, target modality of the classification. */
export interface Pair {
  readonly source: Contrast;
  readonly target: Contrast;
}

/** What can be changed of the trial's situation, and what it is for. */
export const CONDITIONS = {
  base: 'phantoms, the difficulty that was asked for',
  few: 'phantoms, a third of the heads',
  hard: 'phantoms, lesions without any change of brightness (difficulty 1)',
  real: 'lesions planted in real heads, real label tasks, nested: no head of a test fold is pre-trained on',
  deep: 'phantoms, a deeper network (ResNet-34, an eighth of the channels)',
} as const;
export type Condition = keyof typeof CONDITIONS;

/** A hypothesis is tested where its condition was computed: 23 tasks against none at equal compute, accuracy. */
export interface Hypothesis {
  readonly name: string;
  readonly condition: Condition;
  readonly claim: string;
}

/**
 * Written down before any figure. A first trial saw faster learning but no gain at equal compute; transfer may still pay
 * where there is less to learn from, where brightness alone does not do, where tasks are real, or where nets are deeper.
 */
export const HYPOTHESES: readonly Hypothesis[] = [
  {
    name: 'H1',
    condition: 'few',
    claim: 'With a third of the heads, TL from 23 tasks is more accurate than no TL with the same compute.',
  },
  {
    name: 'H2',
    condition: 'hard',
    claim:
      'Where lesions change no brightness, TL from 23 tasks is more accurate than no TL with the same compute.',
  },
  {
    name: 'H3',
    condition: 'real',
    claim:
      'With real heads and real label tasks, TL from 23 tasks is more accurate than no TL with the same compute.',
  },
  {
    name: 'H4',
    condition: 'deep',
    claim: 'In a ResNet-34, TL from 23 tasks is more accurate than no TL with the same compute.',
  },
];

export interface Settings {
  readonly conditions: readonly Condition[];
  readonly pairs: readonly Pair[];
  readonly seeds: readonly number[];
  readonly folds: number;
  /** Classification cases of a phantom cohort; two versions of each head. */
  readonly subjects: number;
  /** Heads of the phantoms that are pre-trained on, none of them a head of the classification. */
  readonly pretrainHeads: number;
  /** Voxels along a phantom's longest side. */
  readonly size: number;
  readonly difficulty: number;
  readonly epochs: number;
  readonly pretrainEpochs: number;
  readonly arch: string;
  /** As the command line writes it: 1/4. */
  readonly width: string;
  /** Warped copies of each real head. */
  readonly copies: number;
  /** Strength of the lesions in real heads. */
  readonly strength: number;
}

/** About an hour on two cores: one condition, three seeds. */
export const REDUCED: Settings = {
  conditions: ['base'],
  pairs: [
    { source: 'FLAIR', target: 'FLAIR' },
    { source: 'T1w', target: 'FLAIR' },
  ],
  seeds: [1, 2, 3],
  folds: 3,
  subjects: 120,
  pretrainHeads: 48,
  size: 48,
  difficulty: 0.5,
  epochs: 16,
  pretrainEpochs: 20,
  arch: 'resnet10',
  width: '1/4',
  copies: 4,
  strength: 1,
};

/** A cohort that classification is cross-validated on. */
export interface CohortPlan {
  readonly name: string;
  readonly kind: 'phantom' | 'planted';
  readonly subjects: number;
  readonly difficulty: number;
}

/** One cross-validation of the trial; the unit that is stored and gone on with. */
export interface Cell {
  readonly id: string;
  readonly condition: Condition;
  readonly arm: Arm;
  /** Of the pre-training; null for random weights. */
  readonly source: Contrast | null;
  readonly target: Contrast;
  readonly seed: number;
  readonly cohort: CohortPlan;
  readonly arch: string;
  readonly width: string;
}

/** Seed of the folds: all seeds of training share them, so that cases are compared with themselves. */
export const SPLIT_SEED = 1;
/** Seed of the phantoms that classification sees, and of those that pre-training sees: other heads. */
export const COHORT_SEED = 11;
export const PRETRAIN_COHORT_SEED = 1011;

/** All cells, in an order in which those that another one needs come before it. */
export function cellsOf(settings: Settings): Cell[] {
  const cells = settings.conditions.flatMap((condition) => {
    const shared = { condition, cohort: cohortOf(condition, settings), ...networkOf(condition, settings) };
    const targets = [...new Set(settings.pairs.map(({ target }) => target))];
    return settings.seeds.flatMap((seed) => [
      ...targets.flatMap((target) =>
        (['none', 'none-compute'] as const).map((arm) => ({ ...shared, arm, source: null, target, seed })),
      ),
      ...settings.pairs.flatMap(({ source, target }) =>
        (['single', 'multi'] as const).map((arm) => ({ ...shared, arm, source, target, seed })),
      ),
    ]);
  });
  return cells.map((cell) => {
    const from = cell.source === null ? '' : `-from-${cell.source}`;
    return { ...cell, id: `${cell.condition}-${cell.target}-${cell.arm}${from}-seed-${cell.seed}` };
  });
}

function cohortOf(condition: Condition, settings: Settings): CohortPlan {
  const { subjects, difficulty } = settings;
  if (condition === 'real') return { name: 'planted', kind: 'planted', subjects: 0, difficulty };
  // An even number: heads come with their lesion and without it.
  if (condition === 'few')
    return { name: 'few', kind: 'phantom', subjects: 2 * Math.round(subjects / 6), difficulty };
  if (condition === 'hard') return { name: 'hard', kind: 'phantom', subjects, difficulty: 1 };
  return { name: 'phantom', kind: 'phantom', subjects, difficulty };
}

function networkOf(condition: Condition, { arch, width }: Settings): { arch: string; width: string } {
  return condition === 'deep' ? { arch: 'resnet34', width: '1/8' } : { arch, width };
}

/** The recipe that made small networks learn planted lesions on two cores: see `fcd demo`. */
export function trainingOf(epochs: number): TrainingConfig {
  return {
    epochs,
    batchSize: 8,
    microBatch: 8,
    checkpointActivations: false,
    optimiser: {
      kind: 'adamw',
      learningRate: 3e-3,
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      weightDecay: 0.01,
    },
    schedule: { kind: 'trapezoid', warmup: 0.05, decay: 0.35 },
    augmentation: { rotation: 0, scale: 0, flip: true, intensity: 0.1, noise: 0.1 },
    classBalanced: true,
    twinBatches: true,
    patience: 0,
    validationFraction: 0,
  };
}

/** Epochs that pay for the pre-training: at least one. */
export function furtherEpochs(pretrainSeconds: number, secondsPerEpoch: number): number {
  return Math.max(1, Math.round(pretrainSeconds / secondsPerEpoch));
}

/** `FLAIR,T1w>FLAIR`: a contrast alone is transferred to itself. @throws Error that says what is wrong */
export function pairsNamed(text: string): Pair[] {
  return text.split(',').map((one) => {
    const [source, target = source] = one.trim().split('>');
    for (const contrast of [source, target])
      if (contrast !== 'T1w' && contrast !== 'FLAIR')
        throw new Error(`"${one}" is no pair; give T1w>FLAIR, FLAIR>T1w, T1w or FLAIR.`);
    return { source, target } as Pair;
  });
}
