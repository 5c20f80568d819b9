import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { faultAt } from '../errors';
import { GROUPS, type AgeColumn, type Case, type Finding, type Group } from './cohort';
import { grouped } from './grouped';
import { readTable, type Table, type TableRow } from './table';

/** The part of a case that a table tells; images are found elsewhere. */
export type Person = Pick<Case, 'participantId' | 'group' | 'source' | 'twin' | 'sex' | 'age'>;

/** A person and their 1-based line in the table. */
export interface Participant extends Person {
  readonly line: number;
}

export function personOf({ participantId, group, source, twin, sex, age }: Participant): Person {
  return { participantId, group, source, twin, sex, age };
}

/** Columns of ages at scan that are understood, the first one present counts. Ages at onset or at surgery never do. */
const AGE_COLUMNS = ['age', 'age_scan', 'age_at_scan'];
const GROUP_OF: Readonly<Record<string, Group>> = {
  fcd: 'fcd',
  patient: 'fcd',
  control: 'control',
  hc: 'control',
  healthy: 'control',
};
/** An id becomes part of file names. */
const PLAIN_ID = /^[A-Za-z0-9][A-Za-z0-9._+-]*$/;

/**
 * Reads the participants.tsv of a BIDS directory. Lines that cannot be used become findings; a table without the columns
 * participant_id and group is an InputError. Ages are classes where participants.json lists levels for their column.
 */
export async function readParticipants(root: string): Promise<{
  path: string;
  participants: Participant[];
  findings: Finding[];
  age?: AgeColumn;
}> {
  const path = join(root, 'participants.tsv');
  const table = await readTable(path);
  requireColumns(table, ['participant_id', 'group']);
  const findings: Finding[] = [];
  const found: Participant[] = [];
  for (const row of table.rows) {
    const person = participantOf(table, row, (id) => (id.startsWith('sub-') ? id : `sub-${id}`));
    if (typeof person === 'string')
      findings.push({ severity: 'error', message: person, file: path, line: row.line });
    else found.push(person);
  }
  const participants = withoutDuplicates(found, path, findings);
  findings.push(
    ...ageFindings(table),
    ...twinFindings(path, participants),
    ...splitFindings(table, participants),
  );
  return { path, participants, findings, age: await ageColumnOf(root, table) };
}

/** Throws where the table lacks a column. */
export function requireColumns(table: Table, columns: readonly string[]): void {
  const missing = columns.filter((column) => !table.columns.includes(column));
  if (missing.length > 0)
    throw faultAt(
      table.path,
      1,
      `there is no column ${missing.join(', ')}; the columns are ${table.columns.join(', ')}.`,
    );
}

/** One line of a table as a participant, or the sentence that says why it is none. */
export function participantOf(
  table: Table,
  row: TableRow,
  normalised: (id: string) => string = (id) => id,
): Participant | string {
  const id = row.cell('participant_id');
  if (id === undefined) return 'There is no participant_id.';
  if (!PLAIN_ID.test(id))
    return `participant_id "${id}" cannot be used: an id becomes part of file names and holds letters, digits and . _ + - only.`;
  const participantId = normalised(id);
  const written = row.cell('group');
  const group = GROUP_OF[written?.toLowerCase() ?? ''];
  if (group === undefined)
    return `${participantId} cannot be used: the group is "${written ?? 'n/a'}", which is none of ${Object.keys(GROUP_OF).join(', ')}.`;
  const ageColumn = AGE_COLUMNS.find((column) => table.columns.includes(column));
  const age = ageColumn === undefined ? undefined : numberOf(row.cell(ageColumn));
  const sex = sexOf(row.cell('sex'));
  const source = row.cell('source') ?? participantId;
  return { participantId, group, source, twin: row.cell('twin'), sex, age, line: row.line };
}

/** The age column of a table and, where participants.json (if there is one) lists them, the meaning of its classes. */
async function ageColumnOf(root: string, table: Table): Promise<AgeColumn | undefined> {
  const column = AGE_COLUMNS.find((name) => table.columns.includes(name));
  if (column === undefined) return undefined;
  const text = await readFile(join(root, 'participants.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return { column };
  try {
    const described = JSON.parse(text.replace(/^\uFEFF/, '')) as Record<
      string,
      { Levels?: Record<string, string> }
    >;
    const levels = described[column]?.Levels;
    return levels === undefined ? { column } : { column, levels };
  } catch {
    // The description only explains the table; a broken one takes nothing away from it.
    return { column };
  }
}

function numberOf(cell: string | undefined): number | undefined {
  const value = cell === undefined ? NaN : Number(cell);
  return Number.isFinite(value) && value >= 0 ? value : undefined;
}

function sexOf(cell: string | undefined): 'F' | 'M' | undefined {
  switch (cell?.toLowerCase()) {
    case 'f':
    case 'female':
      return 'F';
    case 'm':
    case 'male':
      return 'M';
    default:
      return undefined;
  }
}

/** Of lines with the same id the first counts; where they contradict each other nobody can say who it is, so none does. */
function withoutDuplicates(found: readonly Participant[], file: string, findings: Finding[]): Participant[] {
  const byId = grouped(found, ({ participantId }) => participantId);
  return [...byId.values()].flatMap((same) => {
    if (same.length === 1) return same;
    const lines = same.map(({ line }) => line).join(', ');
    const { participantId } = same[0];
    const agree = same.every(({ group, source }) => group === same[0].group && source === same[0].source);
    findings.push({
      severity: agree ? 'warning' : 'error',
      message: agree
        ? `${participantId} is listed ${same.length} times (lines ${lines}); the first line counts.`
        : `${participantId} is listed with different groups or sources (lines ${lines}) and is not used; keep the line that is right.`,
      file,
      line: same[1].line,
    });
    return agree ? [same[0]] : [];
  });
}

/** A twin name joins both groups within one source; else it would mix heads, or mean a twin that is not there. */
export function twinFindings(file: string, participants: readonly Participant[]): Finding[] {
  const named = participants.filter(({ twin }) => twin !== undefined);
  return [...grouped(named, ({ twin }) => twin)].flatMap(([name, members]) => {
    const bothGroups = new Set(members.map(({ group }) => group)).size === 2;
    const oneSource = new Set(members.map(({ source }) => source)).size === 1;
    if (bothGroups && oneSource) return [];
    const ids = members.map(({ participantId }) => participantId).join(', ');
    const message = `twin "${name}" names ${ids}; a twin name is shared by an fcd and a control case of the same source.`;
    return [{ severity: 'error', message, file, line: members[0].line }];
  });
}

function ageFindings(table: Table): Finding[] {
  const column = AGE_COLUMNS.find((name) => table.columns.includes(name));
  if (column === undefined) return [];
  const odd = table.rows.find(
    (row) => row.cell(column) !== undefined && numberOf(row.cell(column)) === undefined,
  );
  if (odd === undefined) return [];
  const message = `${column} "${odd.cell(column)}" is no number; ages like it are left out.`;
  return [{ severity: 'warning', message, file: table.path, line: odd.line }];
}

/** A split that came with the data is named and not used: a test part without controls has no specificity or accuracy. */
function splitFindings(table: Table, participants: readonly Participant[]): Finding[] {
  if (!table.columns.includes('split')) return [];
  const groupAt = new Map(participants.map(({ line, group }) => [line, group]));
  const parts = new Map<string, Record<Group, number>>();
  for (const row of table.rows) {
    const group = groupAt.get(row.line);
    const part = row.cell('split');
    if (group === undefined || part === undefined) continue;
    const counts = parts.get(part) ?? { control: 0, fcd: 0 };
    counts[group]++;
    parts.set(part, counts);
  }
  const described = [...parts]
    .map(([part, { fcd, control }]) => `${part}: ${fcd} fcd + ${control} control`)
    .join('; ');
  const lacking = [...parts].flatMap(([part, counts]) =>
    GROUPS.filter((group) => counts[group] === 0).map((group) => `${part} has no ${group}`),
  );
  const warning =
    lacking.length === 0 ? '' : ` (${lacking.join(', ')}: accuracy and AUC would be undefined there)`;
  const message = `The column split (${described}) is not used${warning}; folds are drawn by seed, stratified by group.`;
  return [{ severity: 'info', message, file: table.path, line: 1 }];
}
