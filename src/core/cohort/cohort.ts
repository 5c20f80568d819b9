/** What the network is asked to tell apart; class 0 = control, class 1 = fcd. */
export type Group = 'control' | 'fcd';
export type Contrast = 'T1w' | 'FLAIR';
/**
 * What a network sees: one contrast, both as two input channels, or `mixed`: every image of either contrast as a case of
 * its own, through one input channel.
 */
export type Modality = Contrast | 'T1w+FLAIR' | 'mixed';

export const GROUPS: readonly Group[] = ['control', 'fcd'];
export const CONTRASTS: readonly Contrast[] = ['T1w', 'FLAIR'];
/** The modalities under which a head is one case. */
export type HeadModality = Exclude<Modality, 'mixed'>;
export const HEAD_MODALITIES: readonly HeadModality[] = ['T1w', 'FLAIR', 'T1w+FLAIR'];
export const MODALITIES: readonly Modality[] = [...HEAD_MODALITIES, 'mixed'];

/**
 * The contrasts of a case in the order of the network's input channels. Of `mixed` a case has one (see casesWith);
 * without a case, both that there can be.
 */
export function contrastsOf(modality: Modality, one?: Pick<Case, 'images'>): readonly Contrast[] {
  if (modality === 'T1w+FLAIR') return CONTRASTS;
  if (modality !== 'mixed') return [modality];
  return one === undefined ? CONTRASTS : CONTRASTS.filter((contrast) => one.images[contrast] !== undefined);
}

/** Input channels of a network of a modality. */
export function channelsOf(modality: Modality): number {
  return modality === 'T1w+FLAIR' ? CONTRASTS.length : 1;
}

/** One examined head: its images, its lesion mask where it has one, and whom it stems from. */
export interface Case {
  readonly participantId: string;
  readonly group: Group;
  /** The head this case stems from. Folds, resampling and tests go by source: planted twins and copies share one. */
  readonly source: string;
  /** Shared by the versions of one head copy with and without a planted lesion: training can batch them together. */
  readonly twin?: string;
  /** Absolute paths. Only images that are there and begin like a NIfTI file. */
  readonly images: Readonly<Partial<Record<Contrast, string>>>;
  /** Lesion mask, absolute path, and the contrast on whose grid it was drawn. Controls have none. */
  readonly roi?: { readonly path: string; readonly drawnOn: Contrast };
  /** Brain mask and label map where the cohort brings them, absolute paths. */
  readonly brain?: string;
  readonly labels?: string;
  /** Why an image or the mask is not there although it was expected: half a sentence, e.g. `is empty (0 bytes)`. */
  readonly unavailable?: Readonly<Partial<Record<Contrast | 'roi', string>>>;
  /** BIDS entities of the image's file name, e.g. `{ sub: '00048', acq: 'T2sel' }`, also where the image was never fetched. */
  readonly entities?: Readonly<Partial<Record<Contrast, Readonly<Record<string, string>>>>>;
  /** Sidecar JSON files of the image, absolute paths; a later one overrides an earlier one (BIDS inheritance). */
  readonly sidecars?: Readonly<Partial<Record<Contrast, readonly string[]>>>;
  readonly sex?: 'F' | 'M';
  /** Age at scan as the table has it: years, or the number of a class (see {@link Cohort.age}). */
  readonly age?: number;
}

/** Something about a cohort that its user should know, with file and line or field. */
export interface Finding {
  readonly severity: 'error' | 'warning' | 'info';
  readonly message: string;
  readonly file?: string;
  /** 1-based line in `file`. */
  readonly line?: number;
}

/** Where {@link Case.age} comes from. */
export interface AgeColumn {
  readonly column: string;
  /** Meaning of each class number where the ages are classes; absent where they are years. */
  readonly levels?: Readonly<Record<string, string>>;
}

export interface Cohort {
  /** Absolute path that {@link readCohort} was given: the BIDS directory, or the manifest itself. */
  readonly path: string;
  /** Absolute path of the BIDS directory or of the manifest's directory. */
  readonly root: string;
  readonly kind: 'bids' | 'manifest';
  /** Everybody with a known group, by participant id, also those whose images are missing: {@link casesWith} selects. */
  readonly cases: readonly Case[];
  /** Errors first, then warnings, then notes. */
  readonly findings: readonly Finding[];
  readonly age?: AgeColumn;
  /** sha256 over ids, groups, sources and the files' names and sizes: two runs on the same cohort share it. */
  readonly fingerprint: string;
}

/** One split of a cross-validation; participant ids. */
export interface Fold {
  /** 0-based. */
  readonly index: number;
  readonly count: number;
  readonly train: readonly string[];
  readonly test: readonly string[];
}
