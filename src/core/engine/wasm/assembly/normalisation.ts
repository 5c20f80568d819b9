// Batch normalisation and scale-shift, over x seen as [rows][channels]. Statistics are summed in double precision over
// blocks of rows of a fixed size, one partial sum per block; the caller adds the blocks up in order. So they are exact
// to the last bits and the same for every number of threads.
import { claim, smaller } from './work';

@unmanaged class SumsJob {
  counter: usize;
  x: usize;
  /** Gradient only: the incoming gradient, the result (for the mask of relu) or 0, and the mean. */
  dy: usize;
  y: usize;
  mean: usize;
  /** [block][2][channels], float64. */
  partial: usize;
  rows: i32;
  channels: i32;
  rowsPerBlock: i32;
  /** Rows that fit the nearest cache together. */
  rowsPerStrip: i32;
}

// @ts-ignore: decorator
@inline function lowPair(v: v128): v128 {
  return f64x2.promote_low_f32x4(v);
}

// @ts-ignore: decorator
@inline function highPair(v: v128): v128 {
  return f64x2.promote_low_f32x4(v128.shuffle<f64>(v, v, 1, 1));
}

// @ts-ignore: decorator
@inline function addTo(address: usize, value: v128): void {
  v128.store(address, f64x2.add(v128.load(address), value));
}

/** Per block and channel: sum of x, sum of x * x. */
export function sums(thread: i32, threads: i32, at: usize): void {
  const job = changetype<SumsJob>(at);
  const channels = job.channels;
  const pitch = <usize>(channels << 2);
  for (;;) {
    const block = claim(job.counter);
    const first = block * job.rowsPerBlock;
    if (first >= job.rows) return;
    const end = smaller(first + job.rowsPerBlock, job.rows);
    const sum = job.partial + <usize>block * pitch * 4;
    const squares = sum + pitch * 2;
    memory.fill(sum, 0, pitch * 4);
    for (let row = first; row < end; row += job.rowsPerStrip) {
      const count = smaller(job.rowsPerStrip, end - row);
      const strip = job.x + <usize>row * pitch;
      let channel = 0;
      for (; channel + 4 <= channels; channel += 4) {
        let s0 = f64x2.splat(0), s1 = f64x2.splat(0), q0 = f64x2.splat(0), q1 = f64x2.splat(0);
        let p = strip + <usize>(channel << 2);
        for (let i = 0; i < count; i++) {
          const v = v128.load(p);
          const low = lowPair(v), high = highPair(v);
          s0 = f64x2.add(s0, low);
          s1 = f64x2.add(s1, high);
          q0 = f64x2.add(q0, f64x2.mul(low, low));
          q1 = f64x2.add(q1, f64x2.mul(high, high));
          p += pitch;
        }
        const to = <usize>(channel << 3);
        addTo(sum + to, s0);
        addTo(sum + to + 16, s1);
        addTo(squares + to, q0);
        addTo(squares + to + 16, q1);
      }
      for (; channel < channels; channel++) {
        let s: f64 = 0, q: f64 = 0;
        let p = strip + <usize>(channel << 2);
        for (let i = 0; i < count; i++) {
          const v = <f64>load<f32>(p);
          s += v;
          q += v * v;
          p += pitch;
        }
        const to = <usize>(channel << 3);
        store<f64>(sum + to, load<f64>(sum + to) + s);
        store<f64>(squares + to, load<f64>(squares + to) + q);
      }
    }
  }
}

/** Per block and channel: sum of g, sum of g * (x - mean), where g is dy masked by y > 0 (y = 0: no mask). */
export function gradientSums(thread: i32, threads: i32, at: usize): void {
  const job = changetype<SumsJob>(at);
  const channels = job.channels;
  const pitch = <usize>(channels << 2);
  const masked = job.y != 0;
  for (;;) {
    const block = claim(job.counter);
    const first = block * job.rowsPerBlock;
    if (first >= job.rows) return;
    const end = smaller(first + job.rowsPerBlock, job.rows);
    const sum = job.partial + <usize>block * pitch * 4;
    const products = sum + pitch * 2;
    memory.fill(sum, 0, pitch * 4);
    for (let row = first; row < end; row += job.rowsPerStrip) {
      const count = smaller(job.rowsPerStrip, end - row);
      const strip = <usize>row * pitch;
      let channel = 0;
      for (; channel + 4 <= channels; channel += 4) {
        let s0 = f64x2.splat(0), s1 = f64x2.splat(0), q0 = f64x2.splat(0), q1 = f64x2.splat(0);
        const mean = v128.load(job.mean + <usize>(channel << 2));
        let p = strip + <usize>(channel << 2);
        for (let i = 0; i < count; i++) {
          let g = v128.load(job.dy + p);
          if (masked) g = v128.and(g, f32x4.gt(v128.load(job.y + p), f32x4.splat(0)));
          // A product's one rounding is as small as the inputs' own: only the sum needs the wider numbers.
          const product = f32x4.mul(g, f32x4.sub(v128.load(job.x + p), mean));
          s0 = f64x2.add(s0, lowPair(g));
          s1 = f64x2.add(s1, highPair(g));
          q0 = f64x2.add(q0, lowPair(product));
          q1 = f64x2.add(q1, highPair(product));
          p += pitch;
        }
        const to = <usize>(channel << 3);
        addTo(sum + to, s0);
        addTo(sum + to + 16, s1);
        addTo(products + to, q0);
        addTo(products + to + 16, q1);
      }
      for (; channel < channels; channel++) {
        let s: f64 = 0, q: f64 = 0;
        const mean = load<f32>(job.mean + <usize>(channel << 2));
        let p = strip + <usize>(channel << 2);
        for (let i = 0; i < count; i++) {
          if (!masked || load<f32>(job.y + p) > 0) {
            const g = load<f32>(job.dy + p);
            s += <f64>g;
            q += <f64>(g * (load<f32>(job.x + p) - mean));
          }
          p += pitch;
        }
        const to = <usize>(channel << 3);
        store<f64>(sum + to, load<f64>(sum + to) + s);
        store<f64>(products + to, load<f64>(products + to) + q);
      }
    }
  }
}

@unmanaged class AffineJob {
  counter: usize;
  x: usize;
  residual: usize; // or 0
  y: usize;
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
  const channels = job.channels;
  const vectorEnd = channels & ~3;
  const zero = f32x4.splat(0);
  for (;;) {
    const first = claim(job.counter) * job.rowsPerClaim;
    if (first >= job.rows) return;
    const end = smaller(first + job.rowsPerClaim, job.rows);
    for (let row = first; row < end; row++) {
      const at = <usize>row * <usize>(channels << 2);
      let channel = 0;
      for (; channel < vectorEnd; channel += 4) {
        const c = <usize>(channel << 2);
        const p = at + c;
        let v = f32x4.sub(v128.load(job.x + p), v128.load(job.mean + c));
        v = f32x4.add(f32x4.mul(v, v128.load(job.factor + c)), v128.load(job.offset + c));
        if (job.residual) v = f32x4.add(v, v128.load(job.residual + p));
        if (job.relu) v = f32x4.max(v, zero);
        v128.store(job.y + p, v);
      }
      for (; channel < channels; channel++) {
        const c = <usize>(channel << 2);
        const p = at + c;
        let v = (load<f32>(job.x + p) - load<f32>(job.mean + c)) * load<f32>(job.factor + c) + load<f32>(job.offset + c);
        if (job.residual) v += load<f32>(job.residual + p);
        if (job.relu) v = max<f32>(v, 0);
        store<f32>(job.y + p, v);
      }
    }
  }
}

@unmanaged class AffineGradientJob {
  counter: usize;
  x: usize;
  dy: usize;
  y: usize; // or 0: no mask
  dx: usize;
  dresidual: usize; // or 0
  /** Per channel: dx = g * factor - (x - mean) * slope - offset. */
  mean: usize;
  factor: usize;
  slope: usize;
  offset: usize;
  rows: i32;
  channels: i32;
  rowsPerClaim: i32;
}

export function affineGradient(thread: i32, threads: i32, at: usize): void {
  const job = changetype<AffineGradientJob>(at);
  const channels = job.channels;
  const vectorEnd = channels & ~3;
  const zero = f32x4.splat(0);
  for (;;) {
    const first = claim(job.counter) * job.rowsPerClaim;
    if (first >= job.rows) return;
    const end = smaller(first + job.rowsPerClaim, job.rows);
    for (let row = first; row < end; row++) {
      const at = <usize>row * <usize>(channels << 2);
      let channel = 0;
      for (; channel < vectorEnd; channel += 4) {
        const c = <usize>(channel << 2);
        const p = at + c;
        let g = v128.load(job.dy + p);
        if (job.y) g = v128.and(g, f32x4.gt(v128.load(job.y + p), zero));
        if (job.dresidual) v128.store(job.dresidual + p, g);
        const centred = f32x4.sub(v128.load(job.x + p), v128.load(job.mean + c));
        const slope = f32x4.add(f32x4.mul(centred, v128.load(job.slope + c)), v128.load(job.offset + c));
        v128.store(job.dx + p, f32x4.sub(f32x4.mul(g, v128.load(job.factor + c)), slope));
      }
      for (; channel < channels; channel++) {
        const c = <usize>(channel << 2);
        const p = at + c;
        const g: f32 = job.y == 0 || load<f32>(job.y + p) > 0 ? load<f32>(job.dy + p) : 0;
        if (job.dresidual) store<f32>(job.dresidual + p, g);
        const slope = (load<f32>(job.x + p) - load<f32>(job.mean + c)) * load<f32>(job.slope + c) + load<f32>(job.offset + c);
        store<f32>(job.dx + p, g * load<f32>(job.factor + c) - slope);
      }
    }
  }
}
