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
  const counts = 5; // after the head
  const tapIndex = counts + step;
  const offsets = tapIndex + step * pitch;
  const table = new Int32Array(offsets + positions * pitch);
  table.set([step, pitch, counts, tapIndex, offsets]);
  classTaps.forEach((taps, c) => {
    table[counts + c] = taps.length;
    taps.forEach((k, j) => (table[tapIndex + c * pitch + j] = k * tapStep));
  });
  for (let p = 0; p < positions; p++)
    classTaps[p % step].forEach((k, j) => {
      const at = source(p, k);
      const inside = at !== undefined && at >= 0 && at < inputs;
      table[offsets + p * pitch + j] = inside ? at * bytes : -1;
    });
  return table;
}
