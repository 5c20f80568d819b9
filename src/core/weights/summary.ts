import { DTYPE_BYTES, toFloat32 } from './tensors';
import type { Dtype, NamedTensor, TensorFile } from './tensors';

/** One tensor in numbers. The statistics are over the finite values; null where there is none. */
export interface TensorSummary {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: Dtype;
  readonly bytes: number;
  readonly min: number | null;
  readonly mean: number | null;
  /** Standard deviation of the values themselves (divided by n, not n - 1). */
  readonly sd: number | null;
  readonly max: number | null;
  /** Values that are not a number. */
  readonly nan: number;
  /** Values that are plus or minus infinity. */
  readonly inf: number;
}

/** A row for every tensor, in the file's order. */
export function summarise(file: TensorFile): TensorSummary[] {
  return Array.from(file.tensors.values(), summariseTensor);
}

export function summariseTensor(tensor: NamedTensor): TensorSummary {
  const { name, shape, dtype } = tensor;
  const values = numbersOf(tensor);
  let n = 0;
  let nan = 0;
  let inf = 0;
  let sum = 0;
  let min = Infinity;
  let max = -Infinity;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (Number.isFinite(value)) {
      n++;
      sum += value;
      if (value < min) min = value;
      if (value > max) max = value;
    } else if (Number.isNaN(value)) nan++;
    else inf++;
  }
  const row = { name, shape, dtype, bytes: values.length * DTYPE_BYTES[dtype], nan, inf };
  if (n === 0) return { ...row, min: null, mean: null, sd: null, max: null };
  const mean = sum / n;
  let squares = 0;
  for (let i = 0; i < values.length; i++) if (Number.isFinite(values[i])) squares += (values[i] - mean) ** 2;
  return { ...row, min, mean, sd: Math.sqrt(squares / n), max };
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

/** Whole 64-bit numbers above 2^53 are rounded. */
function numbersOf(tensor: NamedTensor): Exclude<NamedTensor['data'], BigInt64Array> {
  switch (tensor.dtype) {
    case 'F16':
    case 'BF16':
      return toFloat32(tensor);
    case 'I64':
      return Float64Array.from(tensor.data, Number);
    default:
      return tensor.data;
  }
}
