/** What the network is asked to tell apart; class 0 = control, class 1 = fcd. */
export type Group = 'control' | 'fcd';
export type Contrast = 'T1w' | 'FLAIR';

/** One examined head: its images, its lesion mask where it has one, and whom it stems from. */
export interface Case {
  readonly participantId: string;
  readonly group: Group;
  /** The head this case stems from. Folds, resampling and tests go by source: planted twins and copies share one. */
  readonly source: string;
  /** Absolute paths. */
  readonly images: Readonly<Partial<Record<Contrast, string>>>;
  /** Lesion mask, absolute path, and the contrast on whose grid it was drawn. Controls have none. */
  readonly roi?: { readonly path: string; readonly drawnOn: Contrast };
  /** Brain mask and label map where the cohort brings them, absolute paths. */
  readonly brain?: string;
  readonly labels?: string;
  readonly sex?: 'F' | 'M';
  /** As the table has it: a class or years. */
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

export interface Cohort {
  /** Absolute path of the BIDS directory or of the manifest's directory. */
  readonly root: string;
  readonly kind: 'bids' | 'manifest';
  readonly cases: readonly Case[];
  readonly findings: readonly Finding[];
  /** sha256 over ids, groups, sources and the files' names and sizes: two runs on the same cohort share it. */
  readonly fingerprint: string;
}

/** One split of a cross-validation; participant ids. */
export interface Fold {
  readonly index: number;
  readonly count: number;
  readonly train: readonly string[];
  readonly test: readonly string[];
}
