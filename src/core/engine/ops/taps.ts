/** A sparse linear map along one axis: output o is the sum of weights[t] * input[from[t]] for t from starts[o]. */
export interface AxisTaps {
  readonly inputs: number;
  readonly outputs: number;
  /** [outputs + 1]. */
  readonly starts: Int32Array;
  readonly from: Int32Array;
  readonly weights: Float32Array;
}

export type Taps3 = readonly [AxisTaps, AxisTaps, AxisTaps];

/** An output's inputs and their weights. */
type Row = readonly { readonly from: number; readonly weight: number }[];

function tapsOf(inputs: number, rows: readonly Row[]): AxisTaps {
  const starts = new Int32Array(rows.length + 1);
  rows.forEach((row, o) => (starts[o + 1] = starts[o] + row.length));
  const all = rows.flat();
  return {
    inputs,
    outputs: rows.length,
    starts,
    from: Int32Array.from(all, ({ from }) => from),
    weights: Float32Array.from(all, ({ weight }) => weight),
  };
}

/**
 * Linear interpolation between cell centres (PyTorch's `align_corners=False`): output o looks at
 * (o + 1/2) * inputs / outputs - 1/2, and not beyond the first and the last input.
 */
export function linearTaps(inputs: number, outputs: number): AxisTaps {
  const rows = Array.from({ length: outputs }, (_, o): Row => {
    const place = Math.max(0, ((o + 0.5) * inputs) / outputs - 0.5);
    const low = Math.min(inputs - 1, Math.floor(place));
    const high = Math.min(inputs - 1, low + 1);
    const share = high > low ? place - low : 0;
    if (share === 0) return [{ from: low, weight: 1 }];
    return [
      { from: low, weight: 1 - share },
      { from: high, weight: share },
    ];
  });
  return tapsOf(inputs, rows);
}

/** Means over windows; padding counts as zeros (PyTorch's `count_include_pad=True`). */
export function averageTaps(
  inputs: number,
  outputs: number,
  size: number,
  stride: number,
  padding: number,
): AxisTaps {
  const rows = Array.from({ length: outputs }, (_, o): Row => {
    const row: { from: number; weight: number }[] = [];
    for (let k = 0; k < size; k++) {
      const from = o * stride - padding + k;
      if (from >= 0 && from < inputs) row.push({ from, weight: 1 / size });
    }
    return row;
  });
  return tapsOf(inputs, rows);
}

/** The map of the gradient: where a weight led from i to o, it leads from o to i. */
export function transposed({ inputs, outputs, starts, from, weights }: AxisTaps): AxisTaps {
  const rows = Array.from({ length: inputs }, (): { from: number; weight: number }[] => []);
  for (let o = 0; o < outputs; o++)
    for (let t = starts[o]; t < starts[o + 1]; t++) rows[from[t]].push({ from: o, weight: weights[t] });
  return tapsOf(outputs, rows);
}

/** The same map as a dense row-major matrix [outputs, inputs]. */
export function denseMatrix({ inputs, outputs, starts, from, weights }: AxisTaps): Float32Array {
  const matrix = new Float32Array(outputs * inputs);
  for (let o = 0; o < outputs; o++)
    for (let t = starts[o]; t < starts[o + 1]; t++) matrix[o * inputs + from[t]] += weights[t];
  return matrix;
}
