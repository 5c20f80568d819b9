// Max pooling (padding counts as -infinity, the first maximum in d, h, w order wins), global average pooling, and
// shortcut A's subsampling.
import { warm } from './warm';
import { claim, smaller } from './work';

@unmanaged class MaxPoolJob {
  counter: usize;
  x: usize;
  y: usize;
  indices: usize;
  batch: i32;
  depth: i32;
  height: i32;
  width: i32;
  channels: i32;
  outDepth: i32;
  outHeight: i32;
  outWidth: i32;
  sizeD: i32;
  sizeH: i32;
  sizeW: i32;
  strideD: i32;
  strideH: i32;
  strideW: i32;
  padD: i32;
  padH: i32;
  padW: i32;
}

// @ts-ignore: decorator
@inline function larger(a: i32, b: i32): i32 {
  return a > b ? a : b;
}

/** Like PyTorch, NaN wins: it is not hidden by a finite neighbour. */
// @ts-ignore: decorator
@inline function wins(value: v128, best: v128): v128 {
  return v128.or(f32x4.gt(value, best), f32x4.ne(value, value));
}

export function maxPool(thread: i32, threads: i32, at: usize): void {
  const job = changetype<MaxPoolJob>(at);
  const channels = job.channels;
  const voxel = <usize>(channels << 2);
  for (;;) {
    const row = claim(job.counter);
    if (row >= job.batch * job.outDepth * job.outHeight) return;
    const oh = row % job.outHeight;
    const od = (row / job.outHeight) % job.outDepth;
    const n = row / (job.outHeight * job.outDepth);
    const sample = job.x + <usize>(n * job.depth * job.height * job.width) * voxel;
    const d0 = larger(od * job.strideD - job.padD, 0), d1 = smaller(od * job.strideD - job.padD + job.sizeD, job.depth);
    const h0 = larger(oh * job.strideH - job.padH, 0), h1 = smaller(oh * job.strideH - job.padH + job.sizeH, job.height);
    for (let ow = 0; ow < job.outWidth; ow++) {
      const w0 = larger(ow * job.strideW - job.padW, 0), w1 = smaller(ow * job.strideW - job.padW + job.sizeW, job.width);
      const out = <usize>(row * job.outWidth + ow) * voxel;
      const firstPosition = (d0 * job.height + h0) * job.width + w0;
      let channel = 0;
      for (; channel + 16 <= channels; channel += 16) {
        const c = <usize>(channel << 2);
        let best0 = f32x4.splat(-Infinity), best1 = best0, best2 = best0, best3 = best0;
        let index0 = i32x4.splat(firstPosition), index1 = index0, index2 = index0, index3 = index0;
        for (let d = d0; d < d1; d++)
          for (let h = h0; h < h1; h++) {
            let position = (d * job.height + h) * job.width + w0;
            let p = sample + <usize>position * voxel + c;
            for (let w = w0; w < w1; w++) {
              const at = i32x4.splat(position);
              const v0 = v128.load(p), v1 = v128.load(p, 16), v2 = v128.load(p, 32), v3 = v128.load(p, 48);
              const wins0 = wins(v0, best0), wins1 = wins(v1, best1), wins2 = wins(v2, best2), wins3 = wins(v3, best3);
              best0 = v128.bitselect(v0, best0, wins0);
              best1 = v128.bitselect(v1, best1, wins1);
              best2 = v128.bitselect(v2, best2, wins2);
              best3 = v128.bitselect(v3, best3, wins3);
              index0 = v128.bitselect(at, index0, wins0);
              index1 = v128.bitselect(at, index1, wins1);
              index2 = v128.bitselect(at, index2, wins2);
              index3 = v128.bitselect(at, index3, wins3);
              p += voxel;
              position++;
            }
          }
        const y = job.y + out + c, indices = job.indices + out + c;
        v128.store(y, best0);
        v128.store(y, best1, 16);
        v128.store(y, best2, 32);
        v128.store(y, best3, 48);
        v128.store(indices, index0);
        v128.store(indices, index1, 16);
        v128.store(indices, index2, 32);
        v128.store(indices, index3, 48);
      }
      for (; channel + 4 <= channels; channel += 4) {
        const c = <usize>(channel << 2);
        let best = f32x4.splat(-Infinity);
        let index = i32x4.splat(firstPosition);
        for (let d = d0; d < d1; d++)
          for (let h = h0; h < h1; h++) {
            let position = (d * job.height + h) * job.width + w0;
            let p = sample + <usize>position * voxel + c;
            for (let w = w0; w < w1; w++) {
              const v = v128.load(p);
              const more = wins(v, best);
              best = v128.bitselect(v, best, more);
              index = v128.bitselect(i32x4.splat(position), index, more);
              p += voxel;
              position++;
            }
          }
        v128.store(job.y + out + c, best);
        v128.store(job.indices + out + c, index);
      }
      for (; channel < channels; channel++) {
        const c = <usize>(channel << 2);
        let best: f32 = -Infinity;
        let index = firstPosition;
        for (let d = d0; d < d1; d++)
          for (let h = h0; h < h1; h++)
            for (let w = w0; w < w1; w++) {
              const position = (d * job.height + h) * job.width + w;
              const v = load<f32>(sample + <usize>position * voxel + c);
              if (v > best || v != v) {
                best = v;
                index = position;
              }
            }
        store<f32>(job.y + out + c, best);
        store<i32>(job.indices + out + c, index);
      }
    }
  }
}

@unmanaged class AffineMaxPoolJob {
  counter: usize;
  x: usize;
  y: usize;
  indices: usize;
  batch: i32;
  depth: i32;
  height: i32;
  width: i32;
  channels: i32; // a multiple of 8
  outDepth: i32;
  outHeight: i32;
  outWidth: i32;
  sizeD: i32;
  sizeH: i32;
  sizeW: i32;
  strideD: i32;
  strideH: i32;
  strideW: i32;
  padD: i32;
  padH: i32;
  padW: i32;
  /** Per channel: what is pooled is max((x - mean) * factor + offset, 0). */
  mean: usize;
  factor: usize;
  offset: usize;
  /** Rows of y that a thread takes at a time: neighbours share what their windows read. */
  rowsPerClaim: i32;
}

/** 1, 0 or -1. */
// @ts-ignore: decorator
@inline function signs(v: v128): v128 {
  const zero = f32x4.splat(0);
  return v128.or(v128.and(f32x4.gt(v, zero), f32x4.splat(1)), v128.and(f32x4.lt(v, zero), f32x4.splat(-1)));
}

/** The normalised and rectified value of a maximum that was found with its sign; NaN where one was met. */
// @ts-ignore: decorator
@inline function rectified(best: v128, undefined: v128, sign: v128, mean: v128, factor: v128, offset: v128): v128 {
  const x = v128.or(f32x4.mul(best, sign), undefined);
  return f32x4.max(f32x4.add(f32x4.mul(f32x4.sub(x, mean), factor), offset), f32x4.splat(0));
}

/**
 * {@link maxPool} of a normalised and rectified x that is never written down: the same bits as one after the other.
 * Where the maximum is 0, its index is -1.
 */
export function affineMaxPool(thread: i32, threads: i32, at: usize): void {
  const job = changetype<AffineMaxPoolJob>(at);
  const width = job.width, height = job.height, outWidth = job.outWidth, outHeight = job.outHeight;
  const strideW = job.strideW, padW = job.padW, sizeW = job.sizeW, rowsPerClaim = job.rowsPerClaim;
  const means = job.mean, factors = job.factor, offsets = job.offset;
  const voxel = <usize>(job.channels << 2);
  const one = i32x4.splat(1), none = i32x4.splat(-1), zero = f32x4.splat(0);
  const rows = job.batch * job.outDepth * outHeight;
  for (;;) {
    const firstRow = claim(job.counter) * rowsPerClaim;
    if (firstRow >= rows) return;
    const endRow = smaller(firstRow + rowsPerClaim, rows);
    for (let row = firstRow; row < endRow; row++) {
      const oh = row % outHeight;
      const od = (row / outHeight) % job.outDepth;
      const n = row / (outHeight * job.outDepth);
      const sample = job.x + <usize>(n * job.depth * height * width) * voxel;
      const d0 = larger(od * job.strideD - job.padD, 0), d1 = smaller(od * job.strideD - job.padD + job.sizeD, job.depth);
      const h0 = larger(oh * job.strideH - job.padH, 0), h1 = smaller(oh * job.strideH - job.padH + job.sizeH, height);
      for (let ow = 0; ow < outWidth; ow++) {
        const w0 = larger(ow * strideW - padW, 0), w1 = smaller(ow * strideW - padW + sizeW, width);
        const y = job.y + <usize>(row * outWidth + ow) * voxel, indices = y - job.y + job.indices;
        const firstPosition = (d0 * height + h0) * width + w0;
        // What is pooled grows with x or falls with it: the largest is that of the largest or of the smallest x. NaN,
        // which no comparison finds, is noted beside the maxima: a maximum that keeps it takes four times as long.
        let c: usize = 0;
        for (; c + 64 <= voxel; c += 64) {
          const factor0 = v128.load(factors + c), factor1 = v128.load(factors + c, 16);
          const factor2 = v128.load(factors + c, 32), factor3 = v128.load(factors + c, 48);
          const sign0 = signs(factor0), sign1 = signs(factor1), sign2 = signs(factor2), sign3 = signs(factor3);
          let best0 = f32x4.splat(-Infinity), best1 = best0, best2 = best0, best3 = best0;
          let index0 = i32x4.splat(firstPosition), index1 = index0, index2 = index0, index3 = index0;
          let nan0 = zero, nan1 = zero, nan2 = zero, nan3 = zero;
          for (let d = d0; d < d1; d++)
            for (let h = h0; h < h1; h++) {
              const position = (d * height + h) * width + w0;
              let at = i32x4.splat(position);
              let p = sample + <usize>position * voxel + c;
              for (let w = w0; w < w1; w++) {
                const v0 = f32x4.mul(v128.load(p), sign0), v1 = f32x4.mul(v128.load(p, 16), sign1);
                const v2 = f32x4.mul(v128.load(p, 32), sign2), v3 = f32x4.mul(v128.load(p, 48), sign3);
                index0 = v128.bitselect(at, index0, f32x4.gt(v0, best0));
                index1 = v128.bitselect(at, index1, f32x4.gt(v1, best1));
                index2 = v128.bitselect(at, index2, f32x4.gt(v2, best2));
                index3 = v128.bitselect(at, index3, f32x4.gt(v3, best3));
                best0 = f32x4.pmax(best0, v0);
                best1 = f32x4.pmax(best1, v1);
                best2 = f32x4.pmax(best2, v2);
                best3 = f32x4.pmax(best3, v3);
                nan0 = v128.or(nan0, f32x4.ne(v0, v0));
                nan1 = v128.or(nan1, f32x4.ne(v1, v1));
                nan2 = v128.or(nan2, f32x4.ne(v2, v2));
                nan3 = v128.or(nan3, f32x4.ne(v3, v3));
                at = i32x4.add(at, one);
                p += voxel;
              }
            }
          best0 = rectified(best0, nan0, sign0, v128.load(means + c), factor0, v128.load(offsets + c));
          best1 = rectified(best1, nan1, sign1, v128.load(means + c, 16), factor1, v128.load(offsets + c, 16));
          best2 = rectified(best2, nan2, sign2, v128.load(means + c, 32), factor2, v128.load(offsets + c, 32));
          best3 = rectified(best3, nan3, sign3, v128.load(means + c, 48), factor3, v128.load(offsets + c, 48));
          // Where the rectification lets nothing pass, the gradient goes nowhere.
          index0 = v128.bitselect(index0, none, f32x4.gt(best0, zero));
          index1 = v128.bitselect(index1, none, f32x4.gt(best1, zero));
          index2 = v128.bitselect(index2, none, f32x4.gt(best2, zero));
          index3 = v128.bitselect(index3, none, f32x4.gt(best3, zero));
          v128.store(y + c, best0);
          v128.store(y + c, best1, 16);
          v128.store(y + c, best2, 32);
          v128.store(y + c, best3, 48);
          v128.store(indices + c, index0);
          v128.store(indices + c, index1, 16);
          v128.store(indices + c, index2, 32);
          v128.store(indices + c, index3, 48);
        }
        for (; c < voxel; c += 16) {
          const factor = v128.load(factors + c);
          const sign = signs(factor);
          let best = f32x4.splat(-Infinity), nan = zero;
          let index = i32x4.splat(firstPosition);
          for (let d = d0; d < d1; d++)
            for (let h = h0; h < h1; h++) {
              const position = (d * height + h) * width + w0;
              let at = i32x4.splat(position);
              let p = sample + <usize>position * voxel + c;
              for (let w = w0; w < w1; w++) {
                const v = f32x4.mul(v128.load(p), sign);
                index = v128.bitselect(at, index, f32x4.gt(v, best));
                best = f32x4.pmax(best, v);
                nan = v128.or(nan, f32x4.ne(v, v));
                at = i32x4.add(at, one);
                p += voxel;
              }
            }
          best = rectified(best, nan, sign, v128.load(means + c), factor, v128.load(offsets + c));
          v128.store(y + c, best);
          v128.store(indices + c, v128.bitselect(index, none, f32x4.gt(best, zero)));
        }
      }
    }
  }
}

@unmanaged class PooledSumsJob {
  counter: usize;
  x: usize;
  dy: usize;
  indices: usize; // -1: no gradient passes
  mean: usize;
  partial: usize; // [block][2][channels], float64
  outPositions: i32; // per sample
  positions: i32; // of x, per sample
  rows: i32; // of dy: batch * outPositions
  channels: i32; // a multiple of 8
  rowsPerBlock: i32;
}

// @ts-ignore: decorator
@inline function addTo(address: usize, value: v128): void {
  v128.store(address, f64x2.add(v128.load(address), f64x2.promote_low_f32x4(value)));
  v128.store(address, f64x2.add(v128.load(address, 16), f64x2.promote_low_f32x4(v128.shuffle<f64>(value, value, 1, 1))), 16);
}

/**
 * Per block of dy's rows and channel: sum of g and of g * (x - mean), where g is dy where a gradient passes and x the
 * maximum: the sums over all of x, for elsewhere the gradient of the pooling is 0.
 */
export function pooledGradientSums(thread: i32, threads: i32, at: usize): void {
  const job = changetype<PooledSumsJob>(at);
  const rows = job.rows, rowsPerBlock = job.rowsPerBlock, outPositions = job.outPositions;
  const indices = job.indices, dy = job.dy, means = job.mean;
  const pitch = <usize>(job.channels << 2);
  const sampleBytes = <usize>job.positions * pitch;
  const zero = i32x4.splat(0);
  for (;;) {
    const block = claim(job.counter);
    const first = block * rowsPerBlock;
    if (first >= rows) return;
    const end = smaller(first + rowsPerBlock, rows);
    const sum = job.partial + <usize>block * pitch * 4;
    const products = sum + pitch * 2;
    memory.fill(sum, 0, pitch * 4);
    let row = first;
    while (row < end) {
      // Sums of a few rows of one sample in single precision, beyond in double.
      const n = row / outPositions;
      const stop = smaller(smaller(row + 16, end), (n + 1) * outPositions);
      const sample = job.x + <usize>n * sampleBytes;
      for (let c: usize = 0; c < pitch; c += 16) {
        const mean = v128.load(means + c);
        let s = f32x4.splat(0), q = s;
        let from = <usize>row * pitch + c;
        for (let i = row; i < stop; i++) {
          const index = v128.load(indices + from);
          const passes = i32x4.ge_s(index, zero);
          const g = v128.and(v128.load(dy + from), passes);
          const place = v128.and(index, passes);
          const base = sample + c;
          let x = v128.load_zero<f32>(base + <usize>i32x4.extract_lane(place, 0) * pitch);
          x = v128.load_lane<f32>(base + <usize>i32x4.extract_lane(place, 1) * pitch, x, 1, 4);
          x = v128.load_lane<f32>(base + <usize>i32x4.extract_lane(place, 2) * pitch, x, 2, 8);
          x = v128.load_lane<f32>(base + <usize>i32x4.extract_lane(place, 3) * pitch, x, 3, 12);
          s = f32x4.add(s, g);
          q = f32x4.add(q, f32x4.mul(g, f32x4.sub(x, mean)));
          from += pitch;
        }
        addTo(sum + (c << 1), s);
        addTo(products + (c << 1), q);
      }
      row = stop;
    }
  }
}

@unmanaged class PoolGradientJob {
  counter: usize;
  dy: usize;
  indices: usize;
  dx: usize;
  batch: i32;
  depth: i32;
  height: i32;
  width: i32;
  channels: i32;
  outDepth: i32;
  outHeight: i32;
  outWidth: i32;
  sizeD: i32;
  sizeH: i32;
  sizeW: i32;
  strideD: i32;
  strideH: i32;
  strideW: i32;
  padD: i32;
  padH: i32;
  padW: i32;
  /** Where not 0 (channels: a multiple of 8), dx = g * factor - (x - mean) * slope - offset; x may lie where dx does. */
  x: usize;
  mean: usize;
  factor: usize;
  slope: usize;
  offset: usize;
  /** Rows of x that a thread takes at a time. */
  rowsPerClaim: i32;
}

// @ts-ignore: decorator
@inline function firstWindow(position: i32, size: i32, stride: i32, pad: i32): i32 {
  const from = position + pad - size + 1;
  return from <= 0 ? 0 : (from + stride - 1) / stride;
}

/** A vector of dy where the maximum of its window is `position`. */
// @ts-ignore: decorator
@inline function won(dy: usize, indices: usize, position: v128): v128 {
  return v128.and(v128.load(dy), i32x4.eq(v128.load(indices), position));
}

/** (x - mean) * slope + offset. */
// @ts-ignore: decorator
@inline function away(x: usize, mean: usize, slope: usize, offset: usize): v128 {
  return f32x4.add(f32x4.mul(f32x4.sub(v128.load(x), v128.load(mean)), v128.load(slope)), v128.load(offset));
}

/**
 * Gradient of {@link maxPool} and of {@link affineMaxPool}: every voxel of x collects dy from the windows whose maximum
 * it was, in their order, so each is written once and by one thread.
 */
export function maxPoolGradient(thread: i32, threads: i32, at: usize): void {
  const job = changetype<PoolGradientJob>(at);
  const depth = job.depth, height = job.height, width = job.width;
  const outDepth = job.outDepth, outHeight = job.outHeight, outWidth = job.outWidth;
  const sizeW = job.sizeW, strideW = job.strideW, padW = job.padW;
  const dy = job.dy, indices = job.indices - job.dy, x = job.x, dx = job.dx;
  const means = job.mean, factors = job.factor, slopes = job.slope, offsets = job.offset;
  const pitch = <usize>(job.channels << 2);
  const vectorEnd = pitch & ~15;
  const lineBytes = <usize>outWidth * pitch, planeBytes = <usize>outHeight * lineBytes;
  const normal = x != 0;
  const rows = job.batch * depth * height, rowsPerClaim = job.rowsPerClaim;
  const rowBytes = <usize>width * pitch;
  for (;;) {
    const firstRow = claim(job.counter) * rowsPerClaim;
    if (firstRow >= rows) return;
    const endRow = smaller(firstRow + rowsPerClaim, rows);
    if (normal) warm(x + <usize>firstRow * rowBytes, <usize>(endRow - firstRow) * rowBytes);
    for (let row = firstRow; row < endRow; row++) {
      const h = row % height;
      const d = (row / height) % depth;
      const n = row / (height * depth);
      const d0 = firstWindow(d, job.sizeD, job.strideD, job.padD), d1 = smaller((d + job.padD) / job.strideD + 1, outDepth);
      const h0 = firstWindow(h, job.sizeH, job.strideH, job.padH), h1 = smaller((h + job.padH) / job.strideH + 1, outHeight);
      for (let w = 0; w < width; w++) {
        const w0 = firstWindow(w, sizeW, strideW, padW), w1 = smaller((w + padW) / strideW + 1, outWidth);
        const position = (d * height + h) * width + w;
        const here = i32x4.splat(position);
        const to = <usize>(row * width + w) * pitch;
        const firstWon = dy + <usize>(((n * outDepth + d0) * outHeight + h0) * outWidth + w0) * pitch;
        let c: usize = 0;
        for (; c + 64 <= pitch; c += 64) {
          let g0 = f32x4.splat(0), g1 = g0, g2 = g0, g3 = g0;
          let plane = firstWon + c;
          for (let od = d0; od < d1; od++) {
            let line = plane;
            for (let oh = h0; oh < h1; oh++) {
              let p = line;
              for (let ow = w0; ow < w1; ow++) {
                const q = p + indices;
                g0 = f32x4.add(g0, won(p, q, here));
                g1 = f32x4.add(g1, won(p + 16, q + 16, here));
                g2 = f32x4.add(g2, won(p + 32, q + 32, here));
                g3 = f32x4.add(g3, won(p + 48, q + 48, here));
                p += pitch;
              }
              line += lineBytes;
            }
            plane += planeBytes;
          }
          const at = to + c;
          if (normal) {
            g0 = f32x4.sub(f32x4.mul(g0, v128.load(factors + c)), away(x + at, means + c, slopes + c, offsets + c));
            g1 = f32x4.sub(f32x4.mul(g1, v128.load(factors + c, 16)), away(x + at + 16, means + c + 16, slopes + c + 16, offsets + c + 16));
            g2 = f32x4.sub(f32x4.mul(g2, v128.load(factors + c, 32)), away(x + at + 32, means + c + 32, slopes + c + 32, offsets + c + 32));
            g3 = f32x4.sub(f32x4.mul(g3, v128.load(factors + c, 48)), away(x + at + 48, means + c + 48, slopes + c + 48, offsets + c + 48));
          }
          v128.store(dx + at, g0);
          v128.store(dx + at, g1, 16);
          v128.store(dx + at, g2, 32);
          v128.store(dx + at, g3, 48);
        }
        for (; c < vectorEnd; c += 16) {
          let g = f32x4.splat(0);
          for (let od = d0; od < d1; od++)
            for (let oh = h0; oh < h1; oh++) {
              let p = dy + <usize>(((n * outDepth + od) * outHeight + oh) * outWidth + w0) * pitch + c;
              for (let ow = w0; ow < w1; ow++) {
                g = f32x4.add(g, won(p, p + indices, here));
                p += pitch;
              }
            }
          if (normal)
            g = f32x4.sub(f32x4.mul(g, v128.load(factors + c)), away(x + to + c, means + c, slopes + c, offsets + c));
          v128.store(dx + to + c, g);
        }
        for (; c < pitch; c += 4) {
          let g: f32 = 0;
          for (let od = d0; od < d1; od++)
            for (let oh = h0; oh < h1; oh++) {
              let p = dy + <usize>(((n * outDepth + od) * outHeight + oh) * outWidth + w0) * pitch + c;
              for (let ow = w0; ow < w1; ow++) {
                if (load<i32>(p + indices) == position) g += load<f32>(p);
                p += pitch;
              }
            }
          store<f32>(dx + to + c, g);
        }
      }
    }
  }
}

@unmanaged class AverageJob {
  counter: usize;
  x: usize;
  y: usize;
  batch: i32;
  positions: i32;
  channels: i32;
}

/** [batch][positions][channels] -> [batch][channels], summed in double precision. */
export function globalAverage(thread: i32, threads: i32, at: usize): void {
  const job = changetype<AverageJob>(at);
  const pitch = <usize>(job.channels << 2);
  const groups = (job.channels + 15) >> 4;
  for (;;) {
    const item = claim(job.counter);
    if (item >= job.batch * groups) return;
    const n = item / groups;
    const first = (item % groups) << 4;
    const end = smaller(first + 16, job.channels);
    for (let channel = first; channel < end; channel++) {
      let sum: f64 = 0;
      let p = job.x + <usize>(n * job.positions) * pitch + <usize>(channel << 2);
      for (let i = 0; i < job.positions; i++) {
        sum += <f64>load<f32>(p);
        p += pitch;
      }
      store<f32>(job.y + <usize>((n * job.channels + channel) << 2), <f32>(sum / <f64>job.positions));
    }
  }
}

/** dy [batch][channels] / positions, at every position of dx. */
export function globalAverageGradient(thread: i32, threads: i32, at: usize): void {
  const job = changetype<AverageJob>(at);
  const pitch = <usize>(job.channels << 2);
  const positionsPerClaim = 64;
  const claims = (job.positions + positionsPerClaim - 1) / positionsPerClaim;
  for (;;) {
    const item = claim(job.counter);
    if (item >= job.batch * claims) return;
    const n = item / claims;
    const first = (item % claims) * positionsPerClaim;
    const end = smaller(first + positionsPerClaim, job.positions);
    const top = job.x + <usize>(n * job.positions + first) * pitch;
    for (let channel = 0; channel < job.channels; channel++)
      store<f32>(top + <usize>(channel << 2), load<f32>(job.y + <usize>((n * job.channels + channel) << 2)) / <f32>job.positions);
    for (let i = first + 1; i < end; i++) memory.copy(top + <usize>(i - first) * pitch, top, pitch);
  }
}

@unmanaged class SubsampleJob {
  counter: usize;
  x: usize; // dx of the gradient
  y: usize; // dy of the gradient
  batch: i32;
  depth: i32;
  height: i32;
  width: i32;
  channels: i32;
  outDepth: i32;
  outHeight: i32;
  outWidth: i32;
  outChannels: i32;
  strideD: i32;
  strideH: i32;
  strideW: i32;
}

/** Every stride-th voxel, zero channels appended. */
export function subsample(thread: i32, threads: i32, at: usize): void {
  const job = changetype<SubsampleJob>(at);
  const inVoxel = <usize>(job.channels << 2);
  const outVoxel = <usize>(job.outChannels << 2);
  for (;;) {
    const row = claim(job.counter);
    if (row >= job.batch * job.outDepth * job.outHeight) return;
    const oh = row % job.outHeight;
    const od = (row / job.outHeight) % job.outDepth;
    const n = row / (job.outHeight * job.outDepth);
    const from = ((n * job.depth + od * job.strideD) * job.height + oh * job.strideH) * job.width;
    for (let ow = 0; ow < job.outWidth; ow++) {
      const to = job.y + <usize>(row * job.outWidth + ow) * outVoxel;
      memory.copy(to, job.x + <usize>(from + ow * job.strideW) * inVoxel, inVoxel);
      if (outVoxel > inVoxel) memory.fill(to + inVoxel, 0, outVoxel - inVoxel);
    }
  }
}

export function subsampleGradient(thread: i32, threads: i32, at: usize): void {
  const job = changetype<SubsampleJob>(at);
  const inVoxel = <usize>(job.channels << 2);
  const outVoxel = <usize>(job.outChannels << 2);
  for (;;) {
    const row = claim(job.counter);
    if (row >= job.batch * job.depth * job.height) return;
    const h = row % job.height;
    const d = (row / job.height) % job.depth;
    const n = row / (job.height * job.depth);
    const to = job.x + <usize>(row * job.width) * inVoxel;
    memory.fill(to, 0, <usize>job.width * inVoxel);
    if (h % job.strideH != 0 || d % job.strideD != 0) continue;
    const from = ((n * job.outDepth + d / job.strideD) * job.outHeight + h / job.strideH) * job.outWidth;
    for (let ow = 0; ow < job.outWidth; ow++)
      memory.copy(to + <usize>(ow * job.strideW) * inVoxel, job.y + <usize>(from + ow) * outVoxel, inVoxel);
  }
}
