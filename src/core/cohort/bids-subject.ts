import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CONTRASTS, type Contrast } from './cohort';
import { parseBidsName, type BidsName } from './bids-name';

/** A file of a subject, named after BIDS. */
export interface BidsFile extends BidsName {
  readonly path: string;
  readonly name: string;
}

/** What was picked for one subject, and between what. */
export interface SubjectFiles {
  readonly images: Partial<Record<Contrast, BidsFile>>;
  readonly roi?: { readonly file: BidsFile; readonly drawnOn: Contrast };
  readonly brain?: BidsFile;
  readonly labels?: BidsFile;
  readonly sidecars: Partial<Record<Contrast, readonly string[]>>;
  /** Each choice between several files: what was taken and what was left. */
  readonly choices: readonly {
    readonly what: string;
    readonly taken: string;
    readonly left: readonly string[];
  }[];
}

const NIFTI = ['.nii.gz', '.nii'];

/**
 * Finds the files of `sub-…` below a BIDS root. The rule where there are several: the session that has the lesion mask,
 * else the one with most contrasts, else the first; in it the lowest run, then the name with the fewest entities, then
 * the first by name, compressed before plain. A mask is known by its suffix (`FLAIR_roi`, `T1w_roi`), never by a name
 * derived from the image's: their other entities may differ.
 */
export async function findSubjectFiles(
  root: string,
  subject: string,
  rootSidecars: readonly BidsFile[],
): Promise<SubjectFiles> {
  const anat = await anatFiles(join(root, subject));
  const choices: SubjectFiles['choices'][number][] = [];
  const choose = (what: string, candidates: readonly BidsFile[]): BidsFile | undefined => {
    const [taken, ...left] = [...candidates].sort(byRule);
    if (left.length > 0) choices.push({ what, taken: taken.name, left: left.map(({ name }) => name) });
    return taken;
  };

  const nifti = anat.filter(({ extension }) => NIFTI.includes(extension));
  const session = chooseSession(nifti, choices);
  const inSession = nifti.filter(({ entities }) => entities.ses === session);
  const images: SubjectFiles['images'] = {};
  const sidecars: SubjectFiles['sidecars'] = {};
  for (const contrast of CONTRASTS) {
    const image = choose(
      `${contrast} image`,
      inSession.filter(({ suffix }) => suffix === contrast),
    );
    if (image === undefined) continue;
    images[contrast] = image;
    sidecars[contrast] = applicableSidecars(image, [...rootSidecars, ...anat]);
  }

  const derived = async (folder: string, fits: (file: BidsFile) => boolean): Promise<BidsFile[]> =>
    (await anatFiles(join(root, 'derivatives', folder, subject))).filter(
      (file) =>
        NIFTI.includes(file.extension) &&
        file.entities.ses === session &&
        // A mask in a template's space does not lie on the subject's head.
        file.entities.space === undefined &&
        fits(file),
    );
  return {
    images,
    roi: chooseRoi(inSession, images, choose),
    brain: choose(
      'brain mask',
      await derived('masks', ({ suffix, entities }) => suffix === 'mask' && entities.desc === 'brain'),
    ),
    labels: choose('label map', await derived('labels', ({ suffix }) => suffix === 'dseg')),
    sidecars,
    choices,
  };
}

/** The JSON files directly in the BIDS root that may describe images of every subject. */
export async function findRootSidecars(root: string): Promise<BidsFile[]> {
  const files = (await namesIn(root)).flatMap((name) => bidsFile(root, name));
  return files.filter(({ suffix, extension }) => extension === '.json' && isContrast(suffix));
}

/** Sidecars that apply to an image: same suffix, no entity that the image does not share. General before specific. */
function applicableSidecars(image: BidsFile, files: readonly BidsFile[]): string[] {
  return files
    .filter(
      ({ suffix, extension, entities }) =>
        extension === '.json' &&
        suffix === image.suffix &&
        Object.entries(entities).every(([key, value]) => image.entities[key] === value),
    )
    .sort((a, b) => entityCount(a) - entityCount(b))
    .map(({ path }) => path);
}

/** Files in the anat folders of a subject, of its sessions too, and JSON files beside those folders. */
async function anatFiles(folder: string): Promise<BidsFile[]> {
  const entries = await namesIn(folder);
  const sessions = entries.filter((name) => name.startsWith('ses-')).sort();
  const folders = [folder, ...sessions.map((session) => join(folder, session))];
  const files: BidsFile[] = [];
  for (const place of folders) {
    const beside = place === folder ? entries : await namesIn(place);
    files.push(...beside.filter((name) => name.endsWith('.json')).flatMap((name) => bidsFile(place, name)));
    if (!beside.includes('anat')) continue;
    const anat = join(place, 'anat');
    files.push(...(await namesIn(anat)).flatMap((name) => bidsFile(anat, name)));
  }
  return files;
}

function bidsFile(folder: string, name: string): BidsFile[] {
  const parsed = parseBidsName(name);
  return parsed === undefined ? [] : [{ ...parsed, name, path: join(folder, name) }];
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
}

function chooseSession(
  nifti: readonly BidsFile[],
  choices: SubjectFiles['choices'][number][],
): string | undefined {
  const sessions = [...new Set(nifti.map(({ entities }) => entities.ses))];
  const suffixes = (session: string | undefined): string[] =>
    nifti.filter(({ entities }) => entities.ses === session).map(({ suffix }) => suffix);
  const merit = (session: string | undefined): number => {
    const there = suffixes(session);
    const masks = there.some((suffix) => roiContrast(suffix) !== undefined) ? 10 : 0;
    return masks + CONTRASTS.filter((contrast) => there.includes(contrast)).length;
  };
  const [taken, ...left] = sessions.sort((a, b) => merit(b) - merit(a) || natural(a ?? '', b ?? ''));
  const label = (session: string | undefined): string =>
    session === undefined ? 'no session' : `ses-${session}`;
  if (left.length > 0) choices.push({ what: 'session', taken: label(taken), left: left.map(label) });
  return taken;
}

/** The mask drawn on an image that is there, FLAIR before T1w; of several the one whose name shares most with the image's. */
function chooseRoi(
  files: readonly BidsFile[],
  images: SubjectFiles['images'],
  choose: (what: string, candidates: readonly BidsFile[]) => BidsFile | undefined,
): SubjectFiles['roi'] {
  const drawnOn = (['FLAIR', 'T1w'] as const)
    .map((contrast) => ({ contrast, masks: files.filter(({ suffix }) => roiContrast(suffix) === contrast) }))
    .filter(({ masks }) => masks.length > 0)
    .sort((a, b) => Number(b.contrast in images) - Number(a.contrast in images))[0];
  if (drawnOn === undefined) return undefined;
  const { contrast, masks } = drawnOn;
  const alike = masks.map((mask) => shared(mask, images[contrast]));
  const best = Math.max(...alike);
  const file = choose(
    'lesion mask',
    masks.filter((_, i) => alike[i] === best),
  );
  return file === undefined ? undefined : { file, drawnOn: contrast };
}

function shared(mask: BidsFile, image: BidsFile | undefined): number {
  return Object.entries(mask.entities).filter(([key, value]) => image?.entities[key] === value).length;
}

function roiContrast(suffix: string): Contrast | undefined {
  return CONTRASTS.find((contrast) => suffix === `${contrast}_roi`);
}

function isContrast(suffix: string): boolean {
  return CONTRASTS.some((contrast) => contrast === suffix);
}

function byRule(a: BidsFile, b: BidsFile): number {
  return (
    Number(a.entities.run ?? 0) - Number(b.entities.run ?? 0) ||
    entityCount(a) - entityCount(b) ||
    natural(a.name.slice(0, -a.extension.length), b.name.slice(0, -b.extension.length)) ||
    NIFTI.indexOf(a.extension) - NIFTI.indexOf(b.extension)
  );
}

function entityCount(file: BidsFile): number {
  return Object.keys(file.entities).length;
}

/** ses-2 before ses-10. */
function natural(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}
