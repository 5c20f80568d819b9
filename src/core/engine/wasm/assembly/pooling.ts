// Max pooling (padding counts as -infinity, the first maximum in d, h, w order wins), global average pooling, and
// shortcut A's subsampling.
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

@unmanaged class ScatterJob {
  counter: usize;
  dy: usize;
  indices: usize;
  dx: usize; // zeros
  batch: i32;
  positions: i32; // of dx, per sample
  outPositions: i32; // of dy
  channels: i32;
}

/**
 * Gradient of {@link maxPool}: every dy is added to the voxel that was the maximum. Samples and groups of 16 channels
 * (a cache line) are independent, so nothing is added by two threads at once.
 */
export function maxPoolScatter(thread: i32, threads: i32, at: usize): void {
  const job = changetype<ScatterJob>(at);
  const voxel = <usize>(job.channels << 2);
  const groups = (job.channels + 15) >> 4;
  for (;;) {
    const item = claim(job.counter);
    if (item >= job.batch * groups) return;
    const n = item / groups;
    const first = (item % groups) << 4;
    const end = smaller(first + 16, job.channels);
    const sample = job.dx + <usize>(n * job.positions) * voxel;
    let from = <usize>(n * job.outPositions) * voxel;
    for (let i = 0; i < job.outPositions; i++) {
      for (let channel = first; channel < end; channel++) {
        const c = <usize>(channel << 2);
        const to = sample + <usize>load<i32>(job.indices + from + c) * voxel + c;
        store<f32>(to, load<f32>(to) + load<f32>(job.dy + from + c));
      }
      from += voxel;
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
