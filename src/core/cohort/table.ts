import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { CsvError, parse } from 'csv-parse/sync';
import { faultAt, InputError, messageOf } from '../errors';

export interface TableRow {
  /** 1-based line in the file (of the record's end where a quoted CSV cell spans lines). */
  readonly line: number;
  /** Trimmed text of a column; undefined where the cell is empty or says n/a, or the column does not exist. */
  cell(column: string): string | undefined;
}

export interface Table {
  readonly path: string;
  readonly columns: readonly string[];
  readonly rows: readonly TableRow[];
}

/** What tables write where a value is missing. */
const MISSING = /^(n\/a|na|nan)?$/i;

/**
 * Reads a .tsv (tabs, no quoting, as BIDS has it) or .csv (comma or semicolon, quoting) with a header line. A byte order
 * mark, CRLF and empty lines are accepted. Throws an InputError with file and line on anything that is no such table.
 */
export async function readTable(path: string): Promise<Table> {
  const text = await readText(path);
  const tabs = path.toLowerCase().endsWith('.tsv');
  const delimiter = tabs ? '\t' : delimiterOf(text);
  const records = parseRecords(path, text, delimiter, !tabs);
  if (records.length === 0)
    throw new InputError(`${path} is empty: it needs a header line and a line for each participant.`);
  const columns = records[0].cells;
  checkHeader(path, columns, tabs);
  const positions = new Map(columns.map((name, position) => [name, position]));
  const rows = records.slice(1).map(({ line, cells }): TableRow => {
    if (cells.length !== columns.length)
      throw faultAt(
        path,
        line,
        `${cells.length} cells where the header has ${columns.length}; write n/a into cells without a value.`,
      );
    return {
      line,
      cell: (column) => {
        const position = positions.get(column);
        const value = position === undefined ? '' : cells[position];
        return MISSING.test(value) ? undefined : value;
      },
    };
  });
  return { path, columns, rows };
}

interface TextRecord {
  line: number;
  cells: string[];
}

async function readText(path: string): Promise<string> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw new InputError(`${path} cannot be read: ${messageOf(error)}.`);
  }
  try {
    // Drops a byte order mark by itself.
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    if (!text.includes('\0')) return text;
  } catch {
    // Said below, for both ways of not being UTF-8 text.
  }
  throw new InputError(
    `${path} is not UTF-8 text; save the table as UTF-8 (spreadsheets often write UTF-16 or Latin-1).`,
  );
}

function delimiterOf(text: string): string {
  const header = text.split(/\r?\n|\r/, 1)[0];
  return header.includes(';') && !header.includes(',') ? ';' : ',';
}

function parseRecords(path: string, text: string, delimiter: string, quoted: boolean): TextRecord[] {
  try {
    const parsed = parse(text, {
      delimiter,
      quote: quoted ? '"' : false,
      trim: true,
      skip_empty_lines: true,
      relax_column_count: true,
      record_delimiter: ['\r\n', '\n', '\r'],
      info: true,
    }) as unknown as { info: { lines: number }; record: string[] }[];
    return parsed.map(({ info, record }) => ({ line: info.lines, cells: record }));
  } catch (error) {
    const message = `not a readable table: ${messageOf(error)}.`;
    throw error instanceof CsvError && typeof error.lines === 'number'
      ? faultAt(path, error.lines, message)
      : new InputError(`${path}: ${message}`);
  }
}

function checkHeader(path: string, columns: readonly string[], tabs: boolean): void {
  if (columns.length === 1 && /[,;\t]/.test(columns[0]))
    throw faultAt(
      path,
      1,
      `the header is one cell ("${columns[0]}"); ${basename(path)} must be separated by ${tabs ? 'tabs' : 'commas'}.`,
    );
  const twice = columns.find((name, position) => columns.indexOf(name) !== position);
  if (twice !== undefined) throw faultAt(path, 1, `column "${twice}" occurs twice; name each column once.`);
}
