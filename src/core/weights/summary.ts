import { statisticsOf } from './statistics';
import type { TensorStatistics } from './statistics';
import type { NamedTensor, TensorFile } from './tensors';

/** One tensor in numbers: {@link TensorStatistics} without histogram, zeros and filters. */
export type TensorSummary = Omit<TensorStatistics, 'zeros' | 'histogram' | 'filters'>;

/** A row for every tensor, in the file's order. */
export function summarise(file: TensorFile): TensorSummary[] {
  return Array.from(file.tensors.values(), summariseTensor);
}

export function summariseTensor(tensor: NamedTensor): TensorSummary {
  const { name, shape, dtype, bytes, min, mean, sd, max, nan, inf } = statisticsOf(tensor);
  return { name, shape, dtype, bytes, min, mean, sd, max, nan, inf };
}

/** The rows as a table for a terminal: names to the left, numbers to the right, a line for the sum below. */
export function summaryTable(rows: readonly TensorSummary[]): string {
  const head = ['name', 'shape', 'dtype', 'bytes', 'min', 'mean', 'sd', 'max', 'NaN', 'Inf'];
  const cells = rows.map((row) => [
    // A name is the file's: it must not steer the terminal.
    row.name.replace(/\p{Cc}/gu, '\ufffd'),
    row.shape.length === 0 ? 'scalar' : row.shape.join('x'),
    row.dtype,
    String(row.bytes),
    ...[row.min, row.mean, row.sd, row.max].map((value) => (value === null ? '-' : short(value))),
    String(row.nan),
    String(row.inf),
  ]);
  const widths = head.map((title, column) =>
    cells.reduce((w, line) => Math.max(w, line[column].length), title.length),
  );
  const lines = [head, ...cells].map((line) =>
    line
      .map((cell, column) => (column < 3 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])))
      .join('  ')
      .trimEnd(),
  );
  const bytes = rows.reduce((sum, row) => sum + row.bytes, 0);
  return [...lines, `${rows.length} tensors, ${bytes} bytes`].join('\n');
}

function short(value: number): string {
  return String(Number(value.toPrecision(4)));
}
