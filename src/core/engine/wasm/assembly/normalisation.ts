// Batch normalisation and scale-shift, over x seen as [rows][channels]. Statistics are summed in single precision over
// runs of a few rows and in double precision beyond, over blocks of rows of a fixed size, one partial sum per block; the
// caller adds the blocks up in order. So they are exact to the last bits and the same for every number of threads.
import { warm } from './warm';
import { claim, smaller } from './work';

/** Rows whose sum is taken in single precision. */
const RUN: i32 = 16;

/** Bytes of each operand that are brought near at a time. */
const WARM_BYTES: usize = 1 << 16;

/** Whole runs that fit. */
function rowsThatFit(pitch: usize): i32 {
  const runs = <i32>(WARM_BYTES / (pitch * <usize>RUN));
  return RUN * (runs > 1 ? runs : 1);
}

@unmanaged class SumsJob {
  counter: usize;
  x: usize;
  /** Per channel: a number near the mean, which is subtracted first, so that squares lose nothing to cancellation. */
  shift: usize;
  /** [block][2][channels], float64. */
  partial: usize;
  rows: i32;
  channels: i32;
  rowsPerBlock: i32;
}

// @ts-ignore: decorator
@inline function flush(address: usize, v: v128): void {
  v128.store(address, f64x2.add(v128.load(address), f64x2.promote_low_f32x4(v)));
  v128.store(address, f64x2.add(v128.load(address, 16), f64x2.promote_low_f32x4(v128.shuffle<f64>(v, v, 1, 1))), 16);
}

// @ts-ignore: decorator
@inline function flushOne(address: usize, v: f32): void {
  store<f64>(address, load<f64>(address) + <f64>v);
}

/** Per block and channel: sum of x - shift, sum of (x - shift)^2. */
export function sums(thread: i32, threads: i32, at: usize): void {
  const job = changetype<SumsJob>(at);
  const channels = job.channels, rows = job.rows, rowsPerBlock = job.rowsPerBlock, shift = job.shift;
  const pitch = <usize>(channels << 2);
  const rowsWarm = rowsThatFit(pitch);
  for (;;) {
    const block = claim(job.counter);
    const first = block * rowsPerBlock;
    if (first >= rows) return;
    const end = smaller(first + rowsPerBlock, rows);
    const sum = job.partial + <usize>block * pitch * 4;
    const squares = sum + pitch * 2;
    memory.fill(sum, 0, pitch * 4);
    for (let row = first; row < end; row += RUN) {
      const count = smaller(RUN, end - row);
      const run = job.x + <usize>row * pitch;
      if ((row - first) % rowsWarm == 0) warm(run, <usize>smaller(rowsWarm, end - row) * pitch);
      let channel = 0;
      for (; channel + 16 <= channels; channel += 16) {
        const c = shift + <usize>(channel << 2);
        const k0 = v128.load(c), k1 = v128.load(c, 16), k2 = v128.load(c, 32), k3 = v128.load(c, 48);
        let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
        let q0 = s0, q1 = s0, q2 = s0, q3 = s0;
        let p = run + <usize>(channel << 2);
        for (let i = 0; i < count; i++) {
          const v0 = f32x4.sub(v128.load(p), k0), v1 = f32x4.sub(v128.load(p, 16), k1);
          const v2 = f32x4.sub(v128.load(p, 32), k2), v3 = f32x4.sub(v128.load(p, 48), k3);
          s0 = f32x4.add(s0, v0);
          s1 = f32x4.add(s1, v1);
          s2 = f32x4.add(s2, v2);
          s3 = f32x4.add(s3, v3);
          q0 = f32x4.add(q0, f32x4.mul(v0, v0));
          q1 = f32x4.add(q1, f32x4.mul(v1, v1));
          q2 = f32x4.add(q2, f32x4.mul(v2, v2));
          q3 = f32x4.add(q3, f32x4.mul(v3, v3));
          p += pitch;
        }
        const to = <usize>(channel << 3);
        flush(sum + to, s0);
        flush(sum + to + 32, s1);
        flush(sum + to + 64, s2);
        flush(sum + to + 96, s3);
        flush(squares + to, q0);
        flush(squares + to + 32, q1);
        flush(squares + to + 64, q2);
        flush(squares + to + 96, q3);
      }
      for (; channel + 4 <= channels; channel += 4) {
        const k = v128.load(shift + <usize>(channel << 2));
        let s = f32x4.splat(0), q = s;
        let p = run + <usize>(channel << 2);
        for (let i = 0; i < count; i++) {
          const v = f32x4.sub(v128.load(p), k);
          s = f32x4.add(s, v);
          q = f32x4.add(q, f32x4.mul(v, v));
          p += pitch;
        }
        flush(sum + <usize>(channel << 3), s);
        flush(squares + <usize>(channel << 3), q);
      }
      for (; channel < channels; channel++) {
        const k = load<f32>(shift + <usize>(channel << 2));
        let s: f32 = 0, q: f32 = 0;
        let p = run + <usize>(channel << 2);
        for (let i = 0; i < count; i++) {
          const v = load<f32>(p) - k;
          s += v;
          q += v * v;
          p += pitch;
        }
        flushOne(sum + <usize>(channel << 3), s);
        flushOne(squares + <usize>(channel << 3), q);
      }
    }
  }
}

@unmanaged class GradientSumsJob {
  counter: usize;
  x: usize;
  dy: usize;
  /** The result of the forward pass: g is dy where it is positive. 0: no such mask. */
  y: usize;
  /** Where g is written (dy's own place will do), or 0. */
  g: usize;
  mean: usize;
  /** Per channel; where not 0, g is dy where (x - mean) * factor + offset > 0: the forward result, computed anew. */
  factor: usize;
  offset: usize;
  partial: usize;
  rows: i32;
  channels: i32;
  rowsPerBlock: i32;
}

/** Per block and channel: sum of g, sum of g * (x - mean). */
export function gradientSums(thread: i32, threads: i32, at: usize): void {
  const job = changetype<GradientSumsJob>(at);
  const channels = job.channels, rows = job.rows, rowsPerBlock = job.rowsPerBlock;
  const means = job.mean, factors = job.factor, offsets = job.offset;
  const dyToX = job.dy - job.x, yToX = job.y - job.x, gToX = job.g - job.x;
  const byResult = job.y != 0, again = factors != 0, writes = job.g != 0;
  const pitch = <usize>(channels << 2);
  const zero = f32x4.splat(0);
  const rowsWarm = rowsThatFit(pitch);
  for (;;) {
    const block = claim(job.counter);
    const first = block * rowsPerBlock;
    if (first >= rows) return;
    const end = smaller(first + rowsPerBlock, rows);
    const sum = job.partial + <usize>block * pitch * 4;
    const products = sum + pitch * 2;
    memory.fill(sum, 0, pitch * 4);
    for (let row = first; row < end; row += RUN) {
      const count = smaller(RUN, end - row);
      const run = job.x + <usize>row * pitch;
      if ((row - first) % rowsWarm == 0) {
        const bytes = <usize>smaller(rowsWarm, end - row) * pitch;
        warm(run, bytes);
        warm(run + dyToX, bytes);
        if (byResult && !again) warm(run + yToX, bytes);
      }
      let channel = 0;
      for (; channel + 8 <= channels; channel += 8) {
        const c = <usize>(channel << 2);
        const m0 = v128.load(means + c), m1 = v128.load(means + c, 16);
        let f0 = zero, f1 = zero, o0 = zero, o1 = zero;
        if (again) {
          f0 = v128.load(factors + c);
          f1 = v128.load(factors + c, 16);
          o0 = v128.load(offsets + c);
          o1 = v128.load(offsets + c, 16);
        }
        let s0 = zero, s1 = zero, q0 = zero, q1 = zero;
        let p = run + c;
        for (let i = 0; i < count; i++) {
          let g0 = v128.load(p + dyToX), g1 = v128.load(p + dyToX, 16);
          const v0 = f32x4.sub(v128.load(p), m0), v1 = f32x4.sub(v128.load(p, 16), m1);
          if (again) {
            g0 = v128.and(g0, f32x4.gt(f32x4.add(f32x4.mul(v0, f0), o0), zero));
            g1 = v128.and(g1, f32x4.gt(f32x4.add(f32x4.mul(v1, f1), o1), zero));
          } else if (byResult) {
            g0 = v128.and(g0, f32x4.gt(v128.load(p + yToX), zero));
            g1 = v128.and(g1, f32x4.gt(v128.load(p + yToX, 16), zero));
          }
          if (writes) {
            v128.store(p + gToX, g0);
            v128.store(p + gToX, g1, 16);
          }
          s0 = f32x4.add(s0, g0);
          s1 = f32x4.add(s1, g1);
          q0 = f32x4.add(q0, f32x4.mul(g0, v0));
          q1 = f32x4.add(q1, f32x4.mul(g1, v1));
          p += pitch;
        }
        const to = <usize>(channel << 3);
        flush(sum + to, s0);
        flush(sum + to + 32, s1);
        flush(products + to, q0);
        flush(products + to + 32, q1);
      }
      for (; channel < channels; channel++) {
        const c = <usize>(channel << 2);
        const mean = load<f32>(means + c);
        const factor: f32 = again ? load<f32>(factors + c) : 0;
        const offset: f32 = again ? load<f32>(offsets + c) : 0;
        let s: f32 = 0, q: f32 = 0;
        let p = run + c;
        for (let i = 0; i < count; i++) {
          let g = load<f32>(p + dyToX);
          const v = load<f32>(p) - mean;
          if (again) g = v * factor + offset > 0 ? g : 0;
          else if (byResult) g = load<f32>(p + yToX) > 0 ? g : 0;
          if (writes) store<f32>(p + gToX, g);
          s += g;
          q += g * v;
          p += pitch;
        }
        flushOne(sum + <usize>(channel << 3), s);
        flushOne(products + <usize>(channel << 3), q);
      }
    }
  }
}

@unmanaged class AffineJob {
  counter: usize;
  x: usize;
  residual: usize; // or 0
  y: usize; // x's own place will do
  /** Per channel: mean, factor, offset; y = (x - mean) * factor + offset + residual. */
  mean: usize;
  factor: usize;
  offset: usize;
  rows: i32;
  channels: i32;
  rowsPerClaim: i32;
  relu: i32;
}

export function affine(thread: i32, threads: i32, at: usize): void {
  const job = changetype<AffineJob>(at);
  const channels = job.channels, rows = job.rows, rowsPerClaim = job.rowsPerClaim;
  const means = job.mean, factors = job.factor, offsets = job.offset;
  const yToX = job.y - job.x, residualToX = job.residual - job.x;
  const added = job.residual != 0;
  const lowest: f32 = job.relu ? 0 : -Infinity;
  const floor = f32x4.splat(lowest);
  const vectorEnd = <usize>((channels & ~3) << 2), pitch = <usize>(channels << 2);
  for (;;) {
    const first = claim(job.counter) * rowsPerClaim;
    if (first >= rows) return;
    const end = smaller(first + rowsPerClaim, rows);
    let p = job.x + <usize>first * pitch;
    let row = first;
    if ((channels & 7) == 0) {
      // Two streams through memory are faster than one.
      const pairs = (end - first) >> 1;
      const apart = <usize>pairs * pitch;
      if (added) affineAddedPairs(pairs, apart, p, pitch, means, factors, offsets, yToX, residualToX, floor);
      else affinePairs(pairs, apart, p, pitch, means, factors, offsets, yToX, floor);
      row += 2 * pairs;
      p += 2 * apart;
    }
    for (; row < end; row++) {
      let c: usize = 0;
      for (; c < vectorEnd; c += 16) {
        let v = f32x4.sub(v128.load(p + c), v128.load(means + c));
        v = f32x4.add(f32x4.mul(v, v128.load(factors + c)), v128.load(offsets + c));
        if (added) v = f32x4.add(v, v128.load(p + c + residualToX));
        v128.store(p + c + yToX, f32x4.max(v, floor));
      }
      for (; c < pitch; c += 4) {
        let v = (load<f32>(p + c) - load<f32>(means + c)) * load<f32>(factors + c) + load<f32>(offsets + c);
        if (added) v += load<f32>(p + c + residualToX);
        store<f32>(p + c + yToX, max<f32>(v, lowest));
      }
      p += pitch;
    }
  }
}

/** Rows that follow each other from p on, and as many `apart` from them. */
function affinePairs(pairs: i32, apart: usize, p: usize, pitch: usize, means: usize, factors: usize, offsets: usize, yToX: usize, floor: v128): void {
  for (let i = 0; i < pairs; i++) {
    for (const end = p + pitch, back = <usize>0 - p; p != end; p += 32) {
      const q = p + apart;
      const c = p + back;
      const m0 = v128.load(means + c), m1 = v128.load(means + c, 16);
      const f0 = v128.load(factors + c), f1 = v128.load(factors + c, 16);
      const o0 = v128.load(offsets + c), o1 = v128.load(offsets + c, 16);
      const a0 = f32x4.max(f32x4.add(f32x4.mul(f32x4.sub(v128.load(p), m0), f0), o0), floor);
      const a1 = f32x4.max(f32x4.add(f32x4.mul(f32x4.sub(v128.load(p, 16), m1), f1), o1), floor);
      const b0 = f32x4.max(f32x4.add(f32x4.mul(f32x4.sub(v128.load(q), m0), f0), o0), floor);
      const b1 = f32x4.max(f32x4.add(f32x4.mul(f32x4.sub(v128.load(q, 16), m1), f1), o1), floor);
      v128.store(p + yToX, a0);
      v128.store(p + yToX, a1, 16);
      v128.store(q + yToX, b0);
      v128.store(q + yToX, b1, 16);
    }
  }
}

function affineAddedPairs(pairs: i32, apart: usize, p: usize, pitch: usize, means: usize, factors: usize, offsets: usize, yToX: usize, residualToX: usize, floor: v128): void {
  for (let i = 0; i < pairs; i++) {
    for (const end = p + pitch, back = <usize>0 - p; p != end; p += 32) {
      const q = p + apart;
      const c = p + back;
      const m0 = v128.load(means + c), m1 = v128.load(means + c, 16);
      const f0 = v128.load(factors + c), f1 = v128.load(factors + c, 16);
      const o0 = v128.load(offsets + c), o1 = v128.load(offsets + c, 16);
      const r = p + residualToX, t = q + residualToX;
      const a0 = f32x4.max(f32x4.add(f32x4.add(f32x4.mul(f32x4.sub(v128.load(p), m0), f0), o0), v128.load(r)), floor);
      const a1 = f32x4.max(f32x4.add(f32x4.add(f32x4.mul(f32x4.sub(v128.load(p, 16), m1), f1), o1), v128.load(r, 16)), floor);
      const b0 = f32x4.max(f32x4.add(f32x4.add(f32x4.mul(f32x4.sub(v128.load(q), m0), f0), o0), v128.load(t)), floor);
      const b1 = f32x4.max(f32x4.add(f32x4.add(f32x4.mul(f32x4.sub(v128.load(q, 16), m1), f1), o1), v128.load(t, 16)), floor);
      v128.store(p + yToX, a0);
      v128.store(p + yToX, a1, 16);
      v128.store(q + yToX, b0);
      v128.store(q + yToX, b1, 16);
    }
  }
}

@unmanaged class AffineGradientJob {
  counter: usize;
  x: usize;
  dy: usize;
  y: usize; // or 0: no mask
  dx: usize; // x's own place will do
  dresidual: usize; // or 0; dy's own place will do
  /** Per channel: dx = g * factor - (x - mean) * slope - offset. */
  mean: usize;
  factor: usize;
  slope: usize;
  offset: usize;
  /** Per channel; where not 0, g is dy where (x - mean) * factor + shift > 0, as in gradientSums. */
  shift: usize;
  rows: i32;
  channels: i32;
  rowsPerClaim: i32;
}

export function affineGradient(thread: i32, threads: i32, at: usize): void {
  const job = changetype<AffineGradientJob>(at);
  const channels = job.channels, rows = job.rows, rowsPerClaim = job.rowsPerClaim;
  const means = job.mean, factors = job.factor, slopes = job.slope, offsets = job.offset, shifts = job.shift;
  const dyToX = job.dy - job.x, yToX = job.y - job.x, dxToX = job.dx - job.x, dresidualToX = job.dresidual - job.x;
  const byResult = job.y != 0, again = shifts != 0, writes = job.dresidual != 0;
  const vectorEnd = <usize>((channels & ~3) << 2), pitch = <usize>(channels << 2);
  const zero = f32x4.splat(0);
  for (;;) {
    const first = claim(job.counter) * rowsPerClaim;
    if (first >= rows) return;
    const end = smaller(first + rowsPerClaim, rows);
    let row = job.x + <usize>first * pitch;
    let start = first;
    // What convolution blocks' gradients need: without a mask, or with one computed anew.
    if ((channels & 7) == 0 && !writes && !(byResult && !again)) {
      const pairs = (end - first) >> 1;
      const apart = <usize>pairs * pitch;
      if (again) affineGradientMaskedPairs(pairs, apart, row, pitch, means, factors, slopes, offsets, shifts, dyToX, dxToX);
      else affineGradientPairs(pairs, apart, row, pitch, means, factors, slopes, offsets, dyToX, dxToX);
      start += 2 * pairs;
      row += 2 * apart;
    }
    for (let i = start; i < end; i++) {
      let c: usize = 0;
      for (; c < vectorEnd; c += 16) {
        const p = row + c;
        let g = v128.load(p + dyToX);
        const factor = v128.load(factors + c);
        const centred = f32x4.sub(v128.load(p), v128.load(means + c));
        if (again) g = v128.and(g, f32x4.gt(f32x4.add(f32x4.mul(centred, factor), v128.load(shifts + c)), zero));
        else if (byResult) g = v128.and(g, f32x4.gt(v128.load(p + yToX), zero));
        if (writes) v128.store(p + dresidualToX, g);
        const slope = f32x4.add(f32x4.mul(centred, v128.load(slopes + c)), v128.load(offsets + c));
        v128.store(p + dxToX, f32x4.sub(f32x4.mul(g, factor), slope));
      }
      for (; c < pitch; c += 4) {
        const p = row + c;
        let g = load<f32>(p + dyToX);
        const factor = load<f32>(factors + c);
        const centred = load<f32>(p) - load<f32>(means + c);
        if (again) g = centred * factor + load<f32>(shifts + c) > 0 ? g : 0;
        else if (byResult) g = load<f32>(p + yToX) > 0 ? g : 0;
        if (writes) store<f32>(p + dresidualToX, g);
        store<f32>(p + dxToX, g * factor - (centred * load<f32>(slopes + c) + load<f32>(offsets + c)));
      }
      row += pitch;
    }
  }
}

/** Rows that follow each other from p on, and as many `apart` from them. */
function affineGradientPairs(pairs: i32, apart: usize, p: usize, pitch: usize, means: usize, factors: usize, slopes: usize, offsets: usize, dyToX: usize, dxToX: usize): void {
  for (let i = 0; i < pairs; i++) {
    for (const end = p + pitch, back = <usize>0 - p; p != end; p += 32) {
      const q = p + apart;
      const c = p + back;
      const m0 = v128.load(means + c), m1 = v128.load(means + c, 16);
      const f0 = v128.load(factors + c), f1 = v128.load(factors + c, 16);
      const s0 = v128.load(slopes + c), s1 = v128.load(slopes + c, 16);
      const o0 = v128.load(offsets + c), o1 = v128.load(offsets + c, 16);
      const g = p + dyToX, h = q + dyToX;
      const a0 = f32x4.sub(f32x4.mul(v128.load(g), f0), f32x4.add(f32x4.mul(f32x4.sub(v128.load(p), m0), s0), o0));
      const a1 = f32x4.sub(f32x4.mul(v128.load(g, 16), f1), f32x4.add(f32x4.mul(f32x4.sub(v128.load(p, 16), m1), s1), o1));
      const b0 = f32x4.sub(f32x4.mul(v128.load(h), f0), f32x4.add(f32x4.mul(f32x4.sub(v128.load(q), m0), s0), o0));
      const b1 = f32x4.sub(f32x4.mul(v128.load(h, 16), f1), f32x4.add(f32x4.mul(f32x4.sub(v128.load(q, 16), m1), s1), o1));
      v128.store(p + dxToX, a0);
      v128.store(p + dxToX, a1, 16);
      v128.store(q + dxToX, b0);
      v128.store(q + dxToX, b1, 16);
    }
  }
}

function affineGradientMaskedPairs(pairs: i32, apart: usize, p: usize, pitch: usize, means: usize, factors: usize, slopes: usize, offsets: usize, shifts: usize, dyToX: usize, dxToX: usize): void {
  const zero = f32x4.splat(0);
  for (let i = 0; i < pairs; i++) {
    for (const end = p + pitch, back = <usize>0 - p; p != end; p += 32) {
      const q = p + apart;
      const c = p + back;
      const m0 = v128.load(means + c), m1 = v128.load(means + c, 16);
      const f0 = v128.load(factors + c), f1 = v128.load(factors + c, 16);
      const t0 = v128.load(shifts + c), t1 = v128.load(shifts + c, 16);
      const s0 = v128.load(slopes + c), s1 = v128.load(slopes + c, 16);
      const o0 = v128.load(offsets + c), o1 = v128.load(offsets + c, 16);
      const g = p + dyToX, h = q + dyToX;
      const x0 = f32x4.sub(v128.load(p), m0), x1 = f32x4.sub(v128.load(p, 16), m1);
      const z0 = f32x4.sub(v128.load(q), m0), z1 = f32x4.sub(v128.load(q, 16), m1);
      const g0 = v128.and(v128.load(g), f32x4.gt(f32x4.add(f32x4.mul(x0, f0), t0), zero));
      const g1 = v128.and(v128.load(g, 16), f32x4.gt(f32x4.add(f32x4.mul(x1, f1), t1), zero));
      const h0 = v128.and(v128.load(h), f32x4.gt(f32x4.add(f32x4.mul(z0, f0), t0), zero));
      const h1 = v128.and(v128.load(h, 16), f32x4.gt(f32x4.add(f32x4.mul(z1, f1), t1), zero));
      const a0 = f32x4.sub(f32x4.mul(g0, f0), f32x4.add(f32x4.mul(x0, s0), o0));
      const a1 = f32x4.sub(f32x4.mul(g1, f1), f32x4.add(f32x4.mul(x1, s1), o1));
      const b0 = f32x4.sub(f32x4.mul(h0, f0), f32x4.add(f32x4.mul(z0, s0), o0));
      const b1 = f32x4.sub(f32x4.mul(h1, f1), f32x4.add(f32x4.mul(z1, s1), o1));
      v128.store(p + dxToX, a0);
      v128.store(p + dxToX, a1, 16);
      v128.store(q + dxToX, b0);
      v128.store(q + dxToX, b1, 16);
    }
  }
}
