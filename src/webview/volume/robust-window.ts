/** Share of the values that may lie below, and above, the window. */
const SHARE = 0.02;

/** The inner part of each axis that is looked at: what is written into a scan's corners shall not count. */
const BORDER = 0.25;

/** Where more than this share is 0 (air, or a stripped head), zeros do not count. */
const MOSTLY_AIR = 0.6;

const BINS = 1001;

/**
 * Which values a scan is drawn between: all but the lowest and the highest 2 % of its inner half, per axis. (NiiVue's
 * rule, kept so that scans look as they do elsewhere.) Where the values do not differ: their whole range.
 */
export function robustWindow(values: Float32Array, shape: readonly number[]): [number, number] {
  return windowOf(inner(values, shape)) ?? windowOf(values) ?? rangeOf(values);
}

function inner(values: Float32Array, [ni, nj, nk]: readonly number[]): Float32Array {
  const [bi, bj, bk] = [ni, nj, nk].map((n) => Math.floor(BORDER * n));
  const row = ni - 2 * bi;
  const part = new Float32Array(row * (nj - 2 * bj) * (nk - 2 * bk));
  let filled = 0;
  for (let k = bk; k < nk - bk; k++)
    for (let j = bj; j < nj - bj; j++, filled += row) {
      const from = bi + ni * (j + nj * k);
      part.set(values.subarray(from, from + row), filled);
    }
  return part;
}

function windowOf(values: Float32Array): [number, number] | undefined {
  const [low, high] = rangeOf(values);
  if (!(high > low)) return undefined;
  const histogram = new Uint32Array(BINS);
  const scale = (BINS - 1) / (high - low);
  let zeros = 0;
  let count = 0;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    count++;
    if (value === 0) zeros++;
    histogram[Math.round((value - low) * scale)]++;
  }
  const air = zeros > MOSTLY_AIR * count;
  if (air) {
    histogram[Math.round(-low * scale)] -= zeros;
    count -= zeros;
  }
  const share = Math.round(count * SHARE);
  if (share < 1) return undefined;
  let first = 0;
  for (let n = histogram[0]; n < share && first < BINS - 1; n += histogram[first]) first++;
  let last = BINS - 1;
  for (let n = histogram[last]; n < share && last > 0; n += histogram[last]) last--;
  if (first >= last) return undefined;
  const bottom = first / scale + low;
  return [air ? Math.min(0, bottom) : bottom, last / scale + low];
}

function rangeOf(values: Float32Array): [number, number] {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low > high ? [0, 1] : [low, high];
}
