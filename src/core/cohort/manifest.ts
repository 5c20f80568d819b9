import { stat } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { faultAt, InputError, type Place } from '../errors';
import { parseBidsName } from './bids-name';
import { CONTRASTS, type Case, type Cohort, type Contrast, type Finding } from './cohort';
import { duplicateImages } from './duplicates';
import { bySeverity, counted, enumerated } from './findings';
import { fingerprintOf } from './fingerprint';
import { inspectImage } from './image-file';
import { inBatches } from './in-batches';
import { participantOf, personOf, requireColumns, twinFindings, type Participant } from './participants';
import { readTable, type Table, type TableRow } from './table';

const FILE_COLUMNS = ['t1w', 'flair', 'roi', 'brain', 'labels'] as const;
type FileColumn = (typeof FILE_COLUMNS)[number];
const COLUMNS = ['participant_id', 'group', 'source', 'twin', 'sex', 'age', 'roi_on', ...FILE_COLUMNS];
const COLUMN_OF: Readonly<Record<Contrast, FileColumn>> = { T1w: 't1w', FLAIR: 'flair' };

interface ManifestLine {
  readonly one: Case;
  readonly row: TableRow;
  readonly findings: readonly Finding[];
  readonly bytes: readonly (readonly [path: string, bytes: number])[];
}

/**
 * Reads a .csv or .tsv with a line for each case: participant_id, group, t1w and/or flair, and optionally roi, roi_on
 * (T1w or FLAIR: on which the mask was drawn), brain, labels, source, twin, sex, age. Paths are absolute or relative to the
 * manifest. A table that contradicts itself (missing columns, unknown groups, ids that occur twice) is an InputError that
 * names every line in question; files that are not there are findings.
 * @param path absolute path of the manifest
 */
export async function readManifest(path: string): Promise<Cohort> {
  const table = await readTable(path);
  requireColumns(table, ['participant_id', 'group']);
  if (!table.columns.includes('t1w') && !table.columns.includes('flair'))
    throw faultAt(
      path,
      1,
      `there is neither a column t1w nor flair; the columns are ${table.columns.join(', ')}. ` +
        `A BIDS data set is given by its folder, not by its participants.tsv.`,
    );
  if (table.rows.length === 0) throw new InputError(`${path} has a header but no cases.`);
  const people = checkedParticipants(table);
  const lines = await inBatches(people, ({ person, row }) => readLine(table, person, row));
  const root = dirname(path);
  const cases = lines.map(({ one }) => one).sort((a, b) => (a.participantId < b.participantId ? -1 : 1));
  const bytesOf = new Map(lines.flatMap(({ bytes }) => bytes));
  return {
    path,
    root,
    kind: 'manifest',
    cases,
    age: table.columns.includes('age') ? { column: 'age' } : undefined,
    findings: bySeverity([
      ...unknownColumns(table),
      ...lines.flatMap(({ findings }) => findings),
      ...maskFindings(table, lines),
      ...twinFindings(
        path,
        people.map(({ person }) => person),
      ),
      ...(await duplicateImages(cases, bytesOf)),
    ]),
    fingerprint: fingerprintOf(root, cases, bytesOf),
  };
}

function checkedParticipants(table: Table): { person: Participant; row: TableRow }[] {
  const faults: Place[] = [];
  const fault = (line: number, message: string): void => {
    faults.push({ file: table.path, line, message });
  };
  const lineOf = new Map<string, number>();
  const people: { person: Participant; row: TableRow }[] = [];
  for (const row of table.rows) {
    const person = participantOf(table, row);
    const drawnOn = row.cell('roi_on');
    if (typeof person === 'string') fault(row.line, person);
    else if (lineOf.has(person.participantId))
      fault(row.line, `${person.participantId} is already on line ${lineOf.get(person.participantId)}.`);
    else if (drawnOn !== undefined && contrastNamed(drawnOn) === undefined)
      fault(row.line, `roi_on is "${drawnOn}"; it says T1w or FLAIR.`);
    else {
      lineOf.set(person.participantId, row.line);
      people.push({ person, row });
    }
  }
  if (faults.length > 0) {
    const rest = faults.length > 10 ? `\n  and ${faults.length - 10} more` : '';
    const lines = faults.slice(0, 10).map(({ line, message }) => `line ${line}: ${message}`);
    throw new InputError(
      `${table.path} has ${counted(faults.length, 'faulty line')}:\n  ${lines.join('\n  ')}${rest}`,
      { places: faults },
    );
  }
  return people;
}

async function readLine(table: Table, person: Participant, row: TableRow): Promise<ManifestLine> {
  const findings: Finding[] = [];
  const bytes: [string, number][] = [];
  const faultOf: Partial<Record<FileColumn, string>> = {};
  const pathOf: Partial<Record<FileColumn, string>> = {};
  for (const column of FILE_COLUMNS) {
    const cell = row.cell(column);
    if (cell === undefined) continue;
    const path = resolve(dirname(table.path), cell);
    const found = await inspectImage(path);
    if (found.state === 'there') {
      pathOf[column] = path;
      bytes.push([path, found.bytes]);
    } else {
      faultOf[column] = `${cell} ${found.why}`;
      const message = `${person.participantId}: ${column} ${cell} ${found.why}.`;
      findings.push({ severity: 'error', message, file: table.path, line: row.line });
    }
  }

  const images: Partial<Record<Contrast, string>> = {};
  const unavailable: Partial<Record<Contrast | 'roi', string>> = {};
  for (const contrast of CONTRASTS) {
    images[contrast] = pathOf[COLUMN_OF[contrast]];
    const fault = faultOf[COLUMN_OF[contrast]];
    if (fault !== undefined) unavailable[contrast] = fault;
  }
  if (faultOf.roi !== undefined) unavailable.roi = faultOf.roi;
  if (person.group === 'control' && row.cell('roi') !== undefined)
    findings.push({
      severity: 'warning',
      message: `${person.participantId} is a control but has a lesion mask (column roi); it is not used. Check the group.`,
      file: table.path,
      line: row.line,
    });
  const roi = person.group === 'fcd' ? pathOf.roi : undefined;
  const one: Case = {
    ...personOf(person),
    images,
    roi: roi === undefined ? undefined : { path: roi, drawnOn: drawnOn(row) },
    brain: pathOf.brain,
    labels: pathOf.labels,
    unavailable,
    ...(await namedAndDescribed(images)),
  };
  return { one, row, findings, bytes };
}

/** BIDS entities of the images' names, and the JSON files of the same name beside them. */
async function namedAndDescribed(images: Case['images']): Promise<Pick<Case, 'entities' | 'sidecars'>> {
  const entities: Partial<Record<Contrast, Readonly<Record<string, string>>>> = {};
  const sidecars: Partial<Record<Contrast, string[]>> = {};
  for (const contrast of CONTRASTS) {
    const path = images[contrast];
    if (path === undefined) continue;
    entities[contrast] = parseBidsName(basename(path))?.entities;
    const sidecar = path.replace(/\.nii(\.gz)?$/, '.json');
    if (sidecar !== path && (await stat(sidecar).catch(() => undefined))?.isFile())
      sidecars[contrast] = [sidecar];
  }
  return { entities, sidecars };
}

/** The contrast on which the mask was drawn: as the line says, else the one image it names, else FLAIR. */
function drawnOn(row: TableRow): Contrast {
  const said = contrastNamed(row.cell('roi_on') ?? '');
  return said ?? (row.cell('flair') === undefined ? 'T1w' : 'FLAIR');
}

/** What concerns many lines alike, said once, with the first line in question. */
function maskFindings(table: Table, lines: readonly ManifestLine[]): Finding[] {
  const finding = (
    concerned: readonly ManifestLine[],
    severity: Finding['severity'],
    message: string,
  ): Finding[] =>
    concerned.length === 0
      ? []
      : [
          {
            severity,
            message: `${message}: ${enumerated(concerned.map(({ one }) => one.participantId))}.`,
            file: table.path,
            line: concerned[0].row.line,
          },
        ];
  const unmasked = lines.filter(({ one, row }) => one.group === 'fcd' && row.cell('roi') === undefined);
  const assumed = lines.filter(
    ({ one, row }) =>
      one.roi !== undefined &&
      row.cell('roi_on') === undefined &&
      row.cell('t1w') !== undefined &&
      row.cell('flair') !== undefined,
  );
  return [
    ...finding(
      unmasked,
      'warning',
      `${counted(unmasked.length, 'fcd participant')} without a lesion mask (column roi), who can be classified but have no Heat-Score`,
    ),
    ...finding(
      assumed,
      'info',
      `${counted(assumed.length, 'mask')} taken as drawn on the FLAIR image, for column roi_on does not say`,
    ),
  ];
}

function contrastNamed(text: string): Contrast | undefined {
  return CONTRASTS.find((contrast) => contrast.toLowerCase() === text.toLowerCase());
}

function unknownColumns(table: Table): Finding[] {
  const unknown = table.columns.filter(
    (column) => !COLUMNS.includes(column) && !/^age_(at_)?scan$/.test(column),
  );
  if (unknown.length === 0) return [];
  const message = `Not used: ${counted(unknown.length, 'column')} ${unknown.join(', ')}. Known are ${COLUMNS.join(', ')}.`;
  return [{ severity: 'info', message, file: table.path, line: 1 }];
}
