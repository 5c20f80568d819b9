import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { contrastsOf, type Case, type Modality } from '../cohort/cohort';
import { stratifiedFolds } from '../cohort/folds';
import { findRealHeads } from '../cohort/plant/real-heads';
import { readCohort } from '../cohort/read-cohort';
import { casesWith } from '../cohort/usable-cases';
import { InputError } from '../errors';
import { sha256Of } from '../files/sha256';
import type { HeadsPlace, TasksFile } from './tasks-file';

/**
 * A head with a label map; of `mixed` one of its images, whose id says which contrast it is (`sub-01_T1w`). Its group
 * says nothing here.
 */
export type LabelledHead = Case & { readonly labels: string };

export interface FoundHeads {
  /** By participant id. */
  readonly heads: readonly LabelledHead[];
  /** Sentences about those who were left out. */
  readonly leftOut: readonly string[];
}

/**
 * The heads of a tasks file that have every image of the modality and a label map; of `mixed`, each of their images.
 * @throws InputError where there are none, or a listed file is missing
 */
export async function findHeads(file: TasksFile, modality: Modality): Promise<FoundHeads> {
  const { cases, leftOut } = await casesAt(file.heads, file.path, modality);
  const heads: LabelledHead[] = [];
  for (const one of cases) {
    const missing = contrastsOf(modality, one).filter((contrast) => one.images[contrast] === undefined);
    if (missing.length > 0) leftOut.push(`${one.participantId} has no ${missing.join(' and no ')} image.`);
    else if (one.labels === undefined) leftOut.push(`${one.participantId} has no label map.`);
    else heads.push({ ...one, labels: one.labels });
  }
  if (heads.length === 0)
    throw new InputError(
      `${file.path}: no head has a label map and the ${modality} image. ${leftOut[0] ?? ''}`.trim(),
    );
  return { heads: heads.sort((a, b) => (a.participantId < b.participantId ? -1 : 1)), leftOut };
}

async function casesAt(
  place: HeadsPlace,
  file: string,
  modality: Modality,
): Promise<{ cases: readonly Case[]; leftOut: string[] }> {
  switch (place.kind) {
    case 'cohort': {
      const { usable, excluded } = casesWith(await readCohort(place.path), modality);
      return {
        cases: usable,
        leftOut: excluded.map(({ case: one, reason }) => `${one.participantId} ${reason}.`),
      };
    }
    case 'folders': {
      const found = await findRealHeads(place.images, place.labels);
      const cases = found.map(({ id, image, labels }): Case => ({
        participantId: id,
        group: 'control',
        source: id,
        images: { T1w: image },
        labels,
      }));
      return { cases: imagesOf(cases, modality), leftOut: [] };
    }
    case 'list': {
      for (const { id, images, labels, brain } of place.heads)
        for (const path of [images.T1w, images.FLAIR, labels, brain])
          if (path !== undefined && !existsSync(path))
            throw new InputError(`${file}: the head "${id}" names ${path}, which does not exist.`);
      const cases = place.heads.map(({ id, source, images, labels, brain }): Case => ({
        participantId: id,
        group: 'control',
        source: source ?? id,
        images,
        labels,
        brain,
      }));
      return { cases: imagesOf(cases, modality), leftOut: [] };
    }
  }
}

/** Of `mixed` every image is a case of its own, whose source stays the head's. */
function imagesOf(cases: readonly Case[], modality: Modality): readonly Case[] {
  return modality === 'mixed' ? casesWith({ cases }, modality).usable : cases;
}

/** Who is learned from and who is not; participant ids. */
export interface HeldOut {
  readonly train: readonly string[];
  readonly test: readonly string[];
}

/**
 * Folds by head: whole heads are held out, with all their copies. Where the heads are a cohort of patients and controls
 * these are the very folds that `fcd train` makes of it with the same number and seed; other heads are split as a cohort
 * in which each of them has a patient and a control is (planted twins). So what was pre-trained on a fold's training
 * part has not seen that fold's test part.
 */
export function foldsOfHeads(heads: readonly LabelledHead[], count: number, seed: number): HeldOut[] {
  const groups = new Set(heads.map(({ group }) => group));
  if (groups.size === 2) return stratifiedFolds(heads, count, seed);
  const sources = [...new Set(heads.map(({ source }) => source))];
  const twins = sources.flatMap((source) => [
    { participantId: `${source} control`, group: 'control' as const, source },
    { participantId: `${source} fcd`, group: 'fcd' as const, source },
  ]);
  return stratifiedFolds(twins, count, seed).map(({ test }) => {
    const held = new Set(test.map((id) => id.replace(/ (control|fcd)$/, '')));
    const ids = (of: (source: string) => boolean): string[] =>
      heads.filter(({ source }) => of(source)).map(({ participantId }) => participantId);
    return { train: ids((source) => !held.has(source)), test: ids((source) => held.has(source)) };
  });
}

/** sha256 (hex) over the bytes of all images and label maps, head by head: the place on the disk does not matter. */
export async function hashOfHeads(heads: readonly LabelledHead[], modality: Modality): Promise<string> {
  const hash = createHash('sha256');
  for (const head of heads) {
    const images = contrastsOf(modality, head).map((contrast) => head.images[contrast] ?? '');
    const sums: string[] = [];
    for (const path of [...images, head.labels]) sums.push(await sha256Of(path));
    hash.update(JSON.stringify([head.participantId, head.source, ...sums]));
  }
  return hash.digest('hex');
}
