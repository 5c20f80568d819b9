import { existsSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import * as v from 'valibot';
import { MODALITIES, type Modality } from '../cohort/cohort';
import { faultAt, InputError, messageOf } from '../errors';
import { lineOfJson } from '../files/json-place';

/** A structure to segment: the voxels of a label map that have one of these numbers. */
export interface Task {
  readonly name: string;
  readonly labels: readonly number[];
}

/** Where a tasks file says that its heads are; absolute paths. */
export type HeadsPlace =
  /** A BIDS directory or a manifest whose cases bring label maps. */
  | { readonly kind: 'cohort'; readonly path: string }
  /** Images and label maps that belong together by their names. */
  | { readonly kind: 'folders'; readonly images: string; readonly labels: string }
  /** Every head named. */
  | { readonly kind: 'list'; readonly heads: readonly ListedHead[] };

export interface ListedHead {
  readonly id: string;
  readonly source?: string;
  readonly images: Readonly<Partial<Record<'T1w' | 'FLAIR', string>>>;
  readonly labels: string;
  readonly brain?: string;
}

export interface TasksFile {
  /** Absolute. */
  readonly path: string;
  readonly tasks: readonly Task[];
  readonly heads: HeadsPlace;
  /** What the images show, where the file says so. */
  readonly modality?: Modality;
}

const name = v.pipe(v.string(), v.trim(), v.minLength(1, 'a task needs a name'));
const labels = v.pipe(
  v.array(
    v.pipe(
      v.number(),
      v.integer('labels are whole numbers'),
      v.minValue(1, '0 is the background'),
      v.maxValue(65535),
    ),
  ),
  v.minLength(1, 'a task needs at least one label number'),
);
/** Entries of another `kind` (spare ones) are no tasks; what else an entry says (voxel counts) is for people. */
const entry = v.variant('kind', [
  v.object({ kind: v.literal('task'), name, labels }),
  v.object({ kind: v.literal('spare') }),
]);
const withKind = v.pipe(
  v.unknown(),
  v.transform((value) =>
    typeof value === 'object' && value !== null && !('kind' in value) ? { kind: 'task', ...value } : value,
  ),
  entry,
);
const tasks = v.array(withKind);
const path = v.pipe(v.string(), v.minLength(1));

const whole = v.pipe(
  v.strictObject({
    schema: v.literal(1),
    modality: v.optional(v.picklist(MODALITIES)),
    cohort: v.optional(path),
    images: v.optional(path),
    labels: v.optional(path),
    heads: v.optional(
      v.pipe(
        v.array(
          v.strictObject({
            id: v.pipe(v.string(), v.minLength(1)),
            source: v.optional(v.pipe(v.string(), v.minLength(1))),
            images: v.strictObject({ T1w: v.optional(path), FLAIR: v.optional(path) }),
            labels: path,
            brain: v.optional(path),
          }),
        ),
        v.minLength(1, 'no head is listed'),
      ),
    ),
    tasks,
  }),
);

/**
 * Reads what is to be segmented and on whom. Either a bare list of tasks, `[{"name": "caudate", "labels": [36, 37]}, ...]`,
 * whose images and label maps lie beside the file and belong together by their names (`<head>_T1.nii.gz` and
 * `<head>_T1_DLMUSE.nii.gz`); or an object that says where the heads are: `{"schema": 1, "cohort": "."}` (BIDS with label
 * maps), `"images"` and `"labels"` (folders), or `"heads"` (a list), with its `"tasks"`. Paths are relative to the file.
 * @throws InputError with the line of every fault
 */
export async function readTasksFile(file: string): Promise<TasksFile> {
  const absolute = tasksPath(resolve(file));
  let text: string;
  try {
    text = await readFile(absolute, 'utf8');
  } catch (error) {
    throw new InputError(`--tasks ${file} cannot be read: ${messageOf(error)}.`);
  }
  return parseTasksFile(text, absolute);
}

/** The file itself; of a folder its tasks.json, also where a cohort of ours keeps it. */
function tasksPath(path: string): string {
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return path;
  const places = ['tasks.json', join('derivatives', 'labels', 'tasks.json')].map((name) => join(path, name));
  const found = places.find((place) => existsSync(place));
  if (found !== undefined) return found;
  throw new InputError(
    `--tasks ${path} is a folder without a tasks.json (looked for ${places.join(' and ')}).`,
  );
}

/** As {@link readTasksFile}, of a text; `file` is its absolute path. */
export function parseTasksFile(text: string, file: string): TasksFile {
  const json = parseJson(text, file);
  const list = Array.isArray(json);
  const result = v.safeParse(whole, list ? { schema: 1, tasks: json } : json);
  if (!result.success) {
    const [issue] = result.issues;
    const keys = (issue.path ?? []).map(({ key }) => key as string | number);
    const at = list ? keys.slice(1) : keys;
    const where = v.getDotPath(issue);
    throw faultAt(
      file,
      lineOfJson(text, at),
      `${where ? `"${list ? where.replace(/^tasks\.?/, '') : where}"` : 'this'} is not valid: ${issue.message}.`,
    );
  }
  const { output } = result;
  const found: Task[] = [];
  const seen = new Map<string, number>();
  output.tasks.forEach((one, index) => {
    if (one.kind !== 'task') return;
    const line = (): number => lineOfJson(text, list ? [index] : ['tasks', index]);
    const before = seen.get(one.name);
    if (before !== undefined)
      throw faultAt(file, line(), `the task "${one.name}" is there twice, first as number ${before + 1}.`);
    seen.set(one.name, index);
    found.push({ name: one.name, labels: [...new Set(one.labels)].sort((a, b) => a - b) });
  });
  if (found.length === 0) throw faultAt(file, 1, 'there is no task in it ("name" and "labels").');
  return { path: file, tasks: found, heads: headsPlace(output, text, file), modality: output.modality };
}

function headsPlace(
  { cohort, images, labels: maps, heads }: v.InferOutput<typeof whole>,
  text: string,
  file: string,
): HeadsPlace {
  const folder = dirname(file);
  const said = [cohort, images ?? maps, heads].filter((one) => one !== undefined).length;
  if (said > 1)
    throw faultAt(
      file,
      1,
      'say where the heads are in one way: "cohort", or "images" with "labels", or "heads".',
    );
  if (cohort !== undefined) return { kind: 'cohort', path: resolve(folder, cohort) };
  if (heads === undefined)
    return {
      kind: 'folders',
      images: resolve(folder, images ?? '.'),
      labels: resolve(folder, maps ?? images ?? '.'),
    };
  const ids = new Set<string>();
  return {
    kind: 'list',
    heads: heads.map((head, index) => {
      const line = (): number => lineOfJson(text, ['heads', index]);
      if (ids.has(head.id)) throw faultAt(file, line(), `the head "${head.id}" is there twice.`);
      ids.add(head.id);
      const { T1w, FLAIR } = head.images;
      if (T1w === undefined && FLAIR === undefined)
        throw faultAt(file, line(), `the head "${head.id}" has no image: give "T1w", "FLAIR" or both.`);
      return {
        id: head.id,
        source: head.source,
        images: {
          ...(T1w !== undefined && { T1w: resolve(folder, T1w) }),
          ...(FLAIR !== undefined && { FLAIR: resolve(folder, FLAIR) }),
        },
        labels: resolve(folder, head.labels),
        brain: head.brain === undefined ? undefined : resolve(folder, head.brain),
      };
    }),
  };
}

function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    const position = /position (\d+)/.exec(messageOf(error));
    const line = position ? text.slice(0, Number(position[1])).split('\n').length : 1;
    throw faultAt(file, line, `this is not JSON: ${messageOf(error)}.`);
  }
}

/**
 * The tasks to learn: all, or the one that a person named.
 * @throws InputError that lists the names
 */
export function chosenTasks(file: TasksFile, single: string | undefined): readonly Task[] {
  if (single === undefined) return file.tasks;
  const one = file.tasks.find(({ name: known }) => known === single);
  if (one) return [one];
  throw new InputError(
    `${file.path} has no task "${single}". Choose one of: ${file.tasks.map(({ name: known }) => known).join(', ')}.`,
  );
}
