/** One axis of a convolution: sizes of x and y, and how the kernel steps. */
export interface ConvAxis {
  readonly input: number;
  readonly output: number;
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
  readonly dilation: number;
}

/** For each position of the result, the taps that may meet it and the input that each reads (-1: padding). */
interface Reads {
  readonly positions: number;
  /** Positions whose index is equal modulo this meet the same taps. */
  readonly step: number;
  readonly source: (position: number, tap: number) => number | undefined;
}

/** y[o] reads x[o * stride - padding + k * dilation]. */
function forwardReads(axis: ConvAxis): Reads {
  return {
    positions: axis.output,
    step: 1,
    source: (o, k) => o * axis.stride - axis.padding + k * axis.dilation,
  };
}

/** dx[i] reads dy[o] for every k with o * stride - padding + k * dilation = i. */
function gradientReads(axis: ConvAxis): Reads {
  return {
    positions: axis.input,
    step: axis.stride,
    source: (i, k) => {
      const scaled = i + axis.padding - k * axis.dilation;
      return scaled % axis.stride === 0 ? scaled / axis.stride : undefined;
    },
  };
}

/**
 * The table of one axis as `GatherAxis` of the kernels reads it.
 * @param pass whether the result is y or dx
 * @param bytes from one input of this axis to the next
 * @param tapStep index distance of neighbouring taps in the packed filter
 */
export function gatherAxis(axis: ConvAxis, pass: 'y' | 'dx', bytes: number, tapStep: number): Int32Array {
  const { positions, step, source } = pass === 'y' ? forwardReads(axis) : gradientReads(axis);
  const inputs = pass === 'y' ? axis.input : axis.output;
  const classTaps = Array.from({ length: step }, (_, c) =>
    Array.from({ length: axis.kernel }, (_, k) => k).filter((k) => source(c, k) !== undefined),
  );
  const pitch = Math.max(1, ...classTaps.map((taps) => taps.length));
  const HEAD = 7;
  const counts = HEAD;
  const tapIndex = counts + step;
  const deltas = tapIndex + step * pitch;
  const offsets = deltas + step * pitch;
  const interior = offsets + positions * pitch;
  const table = new Int32Array(interior + positions);
  table.set([step, pitch, counts, tapIndex, deltas, offsets, interior]);
  classTaps.forEach((taps, c) => {
    table[counts + c] = taps.length;
    taps.forEach((k, j) => {
      table[tapIndex + c * pitch + j] = k * tapStep;
      table[deltas + c * pitch + j] = (read(source, c, k) - read(source, c, taps[0])) * bytes;
    });
  });
  for (let p = 0; p < positions; p++) {
    const reads = classTaps[p % step].map((k) => read(source, p, k));
    const inside = reads.map((s) => s >= 0 && s < inputs);
    reads.forEach((s, j) => (table[offsets + p * pitch + j] = inside[j] ? s * bytes : -1));
    table[interior + p] = inside.every(Boolean) ? 1 : 0;
  }
  return table;
}

function read(source: Reads['source'], position: number, tap: number): number {
  const at = source(position, tap);
  if (at === undefined) throw new Error(`Tap ${tap} does not meet position ${position}.`);
  return at;
}
