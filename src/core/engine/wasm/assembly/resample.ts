// Separable linear maps along depth, height and width: trilinear resizing, average pooling, and their gradients.
import { claim } from './work';

@unmanaged class ResampleJob {
  counter: usize;
  x: usize;
  y: usize;
  batch: i32;
  depth: i32;
  height: i32;
  width: i32;
  channels: i32;
  outDepth: i32;
  outHeight: i32;
  outWidth: i32;
  /** Per axis: [output + 1] where an output's taps start, and [tap] its input and its weight. */
  startsD: usize;
  fromD: usize;
  weightsD: usize;
  startsH: usize;
  fromH: usize;
  weightsH: usize;
  startsW: usize;
  fromW: usize;
  weightsW: usize;
}

// @ts-ignore: decorator
@inline function at32(table: usize, index: i32): i32 {
  return load<i32>(table + (<usize>index << 2));
}

// @ts-ignore: decorator
@inline function weightAt(table: usize, index: i32): f32 {
  return load<f32>(table + (<usize>index << 2));
}

/** y = sum over the taps of all three axes of the product of their weights times x. */
export function resample(thread: i32, threads: i32, at: usize): void {
  const job = changetype<ResampleJob>(at);
  const voxel = <usize>(job.channels << 2);
  const pairEnd = voxel & ~31, vectorEnd = voxel & ~15;
  const height = job.height, width = job.width, outWidth = job.outWidth;
  const fromW = job.fromW, weightsW = job.weightsW;
  for (;;) {
    const row = claim(job.counter);
    if (row >= job.batch * job.outDepth * job.outHeight) return;
    const oh = row % job.outHeight;
    const od = (row / job.outHeight) % job.outDepth;
    const sample = job.x + <usize>((row / (job.outHeight * job.outDepth)) * job.depth * height * width) * voxel;
    const d0 = at32(job.startsD, od), d1 = at32(job.startsD, od + 1);
    const h0 = at32(job.startsH, oh), h1 = at32(job.startsH, oh + 1);
    for (let ow = 0; ow < outWidth; ow++) {
      const w0 = at32(job.startsW, ow), w1 = at32(job.startsW, ow + 1);
      const to = job.y + <usize>(row * outWidth + ow) * voxel;
      let c: usize = 0;
      for (; c < pairEnd; c += 32) {
        let sum0 = f32x4.splat(0), sum1 = sum0;
        for (let d = d0; d < d1; d++)
          for (let h = h0; h < h1; h++) {
            const line = sample + <usize>((at32(job.fromD, d) * height + at32(job.fromH, h)) * width) * voxel + c;
            const weight = weightAt(job.weightsD, d) * weightAt(job.weightsH, h);
            for (let w = w0; w < w1; w++) {
              const factor = f32x4.splat(weight * weightAt(weightsW, w));
              const p = line + <usize>at32(fromW, w) * voxel;
              sum0 = f32x4.add(sum0, f32x4.mul(factor, v128.load(p)));
              sum1 = f32x4.add(sum1, f32x4.mul(factor, v128.load(p, 16)));
            }
          }
        v128.store(to + c, sum0);
        v128.store(to + c, sum1, 16);
      }
      for (; c < vectorEnd; c += 16) {
        let sum = f32x4.splat(0);
        for (let d = d0; d < d1; d++)
          for (let h = h0; h < h1; h++) {
            const line = sample + <usize>((at32(job.fromD, d) * height + at32(job.fromH, h)) * width) * voxel + c;
            const weight = weightAt(job.weightsD, d) * weightAt(job.weightsH, h);
            for (let w = w0; w < w1; w++)
              sum = f32x4.add(sum, f32x4.mul(f32x4.splat(weight * weightAt(weightsW, w)), v128.load(line + <usize>at32(fromW, w) * voxel)));
          }
        v128.store(to + c, sum);
      }
      for (; c < voxel; c += 4) {
        let sum: f32 = 0;
        for (let d = d0; d < d1; d++)
          for (let h = h0; h < h1; h++) {
            const line = sample + <usize>((at32(job.fromD, d) * height + at32(job.fromH, h)) * width) * voxel + c;
            const weight = weightAt(job.weightsD, d) * weightAt(job.weightsH, h);
            for (let w = w0; w < w1; w++) sum += weight * weightAt(weightsW, w) * load<f32>(line + <usize>at32(fromW, w) * voxel);
          }
        store<f32>(to + c, sum);
      }
    }
  }
}
