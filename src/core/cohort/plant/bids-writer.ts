import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError, StoppedError } from '../../errors';
import { makeFolder, writeJson, writeWhole } from '../../files/whole';
import { writeNifti } from '../../volume/nifti-write';
import type { Mask, Volume } from '../../volume/volume';
import type { Group } from '../cohort';

/** What is written beside the images. */
export interface DataSetText {
  readonly name: string;
  /** Plain sentences for README: what this is and what it is not. */
  readonly readme: string;
  /** The settings that made it, in dataset_description.json: the same settings give the same bytes. */
  readonly settings: Readonly<Record<string, string | number | boolean>>;
  /** Names of the numbers in the label maps. */
  readonly labels: readonly { readonly number: number; readonly name: string }[];
  /** Columns of participants.tsv beside participant_id, with what they mean. */
  readonly columns: Readonly<Record<string, string>>;
}

/** One participant's files; `t1w` and `flair` hold whole numbers from 0 to 32767. */
export interface WrittenCase {
  /** Values of the columns of participants.tsv; `n/a` where missing. */
  readonly row: Readonly<Record<string, string | number | undefined>>;
  readonly group: Group;
  readonly t1w: Volume;
  readonly flair: Volume;
  readonly brain: Mask;
  readonly labels: Volume<Uint8Array>;
  readonly roi?: Mask;
}

export interface Progress {
  /** Participants written so far, of how many. */
  readonly done: number;
  readonly total: number;
}

export const participantId = (number: number): string => `sub-${String(number).padStart(5, '0')}`;

/**
 * Writes a generated cohort as BIDS: anat images and lesion masks, brain masks and label maps under derivatives.
 * participants.tsv comes last, so that a cohort that was stopped half-way is not taken for one; the same settings may
 * then be written again into the same folder.
 */
export class BidsWriter {
  private readonly rows = new Map<number, WrittenCase['row']>();

  private constructor(
    private readonly root: string,
    private readonly text: DataSetText,
    private readonly total: number,
    private readonly onProgress: ((progress: Progress) => void) | undefined,
    private readonly signal: AbortSignal | undefined,
  ) {}

  /** Refuses a folder that holds anything but a data set of the very same settings. */
  static async open(
    root: string,
    text: DataSetText,
    total: number,
    onProgress?: (progress: Progress) => void,
    signal?: AbortSignal,
  ): Promise<BidsWriter> {
    const description = {
      Name: text.name,
      BIDSVersion: '1.9.0',
      DatasetType: 'raw',
      GeneratedBy: [{ Name: 'FCD Lens' }],
      FcdSettings: text.settings,
    };
    await makeFolder(root);
    const entries = await readdir(root);
    const path = join(root, 'dataset_description.json');
    const same =
      entries.includes('dataset_description.json') &&
      (await readFile(path, 'utf8')) === JSON.stringify(description, null, 2) + '\n';
    if (entries.length > 0 && !same)
      throw new InputError(
        `${root} is not empty and was not made with these settings; name a new folder with --out, or empty this one.`,
      );
    await writeJson(path, description);
    return new BidsWriter(root, text, total, onProgress, signal);
  }

  /** Throws a StoppedError once the work was asked to stop. */
  checkStopped(): void {
    if (this.signal?.aborted)
      throw new StoppedError(
        `Stopped after ${this.rows.size} of ${this.total} participants; the same command writes the cohort anew.`,
      );
  }

  /** Writes the files of participant `number` (from 1). */
  async add(number: number, one: WrittenCase): Promise<void> {
    this.checkStopped();
    const subject = participantId(number);
    const anat = join(this.root, subject, 'anat');
    const derived = (folder: string): string => join(this.root, 'derivatives', folder, subject, 'anat');
    const label = { intent: { code: 1002 } } as const;
    await Promise.all([
      writeNifti(join(anat, `${subject}_T1w.nii.gz`), one.t1w, { dtype: 'int16' }),
      writeNifti(join(anat, `${subject}_FLAIR.nii.gz`), one.flair, { dtype: 'int16' }),
      writeNifti(join(derived('masks'), `${subject}_desc-brain_mask.nii.gz`), one.brain),
      writeNifti(join(derived('labels'), `${subject}_dseg.nii.gz`), one.labels, label),
      ...(one.roi ? [writeNifti(join(anat, `${subject}_FLAIR_roi.nii.gz`), one.roi)] : []),
    ]);
    this.rows.set(number, { participant_id: subject, group: one.group, ...one.row });
    this.onProgress?.({ done: this.rows.size, total: this.total });
  }

  /** Writes the tables and texts: from here on it is a cohort. */
  async close(): Promise<void> {
    const { root, text } = this;
    const columns = { group: 'fcd or control', ...text.columns };
    const names = ['participant_id', ...Object.keys(columns)];
    const lines = [...this.rows]
      .sort(([a], [b]) => a - b)
      .map(([, row]) => names.map((name) => row[name] ?? 'n/a').join('\t'));
    const derivative = (name: string): object => ({
      Name: `${text.name}: ${name}`,
      BIDSVersion: '1.9.0',
      DatasetType: 'derivative',
      GeneratedBy: [{ Name: 'FCD Lens' }],
    });
    const labelLines = text.labels.map(({ number, name }) => `${number}\t${name}`);
    await writeWhole(join(root, 'README'), text.readme + '\n');
    for (const [folder, name] of [
      ['masks', 'brain masks'],
      ['labels', 'label maps'],
    ])
      await writeJson(join(root, 'derivatives', folder, 'dataset_description.json'), derivative(name));
    await writeWhole(
      join(root, 'derivatives', 'labels', 'dseg.tsv'),
      ['index\tname', ...labelLines].join('\n') + '\n',
    );
    await writeJson(
      join(root, 'participants.json'),
      Object.fromEntries(Object.entries(columns).map(([name, meaning]) => [name, { Description: meaning }])),
    );
    await writeWhole(join(root, 'participants.tsv'), [names.join('\t'), ...lines].join('\n') + '\n');
  }
}
