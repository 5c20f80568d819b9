// What a batch normalisation computes once per channel, between its passes over x: in double precision, by one thread.

/** Channels per line of doubles. */
const LINE: i32 = 8;

/** A double as the two words that a job holds. */
// @ts-ignore: decorator
@inline function double(low: u32, high: u32): f64 {
  return reinterpret<f64>((<u64>high << 32) | <u64>low);
}

@unmanaged class FirstMeansJob {
  counter: usize;
  x: usize;
  means: usize;
  rows: i32;
  channels: i32;
}

/** The mean of a few rows per channel; 0 where it is not finite, so that a channel overflows in its statistics, not here. */
export function meansOfFirstRows(thread: i32, threads: i32, at: usize): void {
  const job = changetype<FirstMeansJob>(at);
  const rows = job.rows, pitch = <usize>(job.channels << 2);
  for (let c: usize = 0; c < pitch; c += 4) {
    let sum: f64 = 0;
    let p = job.x + c;
    for (let i = 0; i < rows; i++) {
      sum += <f64>load<f32>(p);
      p += pitch;
    }
    store<f32>(job.means + c, abs(sum) < Infinity ? <f32>(sum / <f64>rows) : 0);
  }
}

/** Adds up sums of `count` doubles per block, block by block, in the first one's place. */
function addBlocks(partial: usize, blocks: i32, count: i32): void {
  const pitch = <usize>(count << 3);
  let i = 0;
  for (; i + LINE <= count; i += LINE) {
    const to = partial + <usize>(i << 3);
    let s0 = f64x2.splat(0), s1 = s0, s2 = s0, s3 = s0;
    let p = to;
    for (let block = 0; block < blocks; block++) {
      s0 = f64x2.add(s0, v128.load(p));
      s1 = f64x2.add(s1, v128.load(p, 16));
      s2 = f64x2.add(s2, v128.load(p, 32));
      s3 = f64x2.add(s3, v128.load(p, 48));
      p += pitch;
    }
    v128.store(to, s0);
    v128.store(to, s1, 16);
    v128.store(to, s2, 32);
    v128.store(to, s3, 48);
  }
  for (; i < count; i++) {
    const to = partial + <usize>(i << 3);
    let sum: f64 = 0;
    let p = to;
    for (let block = 0; block < blocks; block++) {
      sum += load<f64>(p);
      p += pitch;
    }
    store<f64>(to, sum);
  }
}

@unmanaged class MomentsJob {
  counter: usize;
  /** [block][2][channels], float64: sums of x - guess and of its square. */
  partial: usize;
  blocks: i32;
  rows: i32;
  channels: i32;
  guess: usize;
  mean: usize;
  variance: usize;
}

/** Mean and biased variance per channel. */
export function moments(thread: i32, threads: i32, at: usize): void {
  const job = changetype<MomentsJob>(at);
  const channels = job.channels, rows = <f64>job.rows;
  addBlocks(job.partial, job.blocks, 2 * channels);
  for (let c = 0; c < channels; c++) {
    const first = job.partial + <usize>(c << 3);
    const single = <usize>(c << 2);
    const offset = load<f64>(first) / rows;
    store<f32>(job.mean + single, <f32>(<f64>load<f32>(job.guess + single) + offset));
    store<f32>(job.variance + single, <f32>max<f64>(0, load<f64>(first + <usize>(channels << 3)) / rows - offset * offset));
  }
}

@unmanaged class FactorJob {
  counter: usize;
  gamma: usize;
  variance: usize;
  factor: usize;
  channels: i32;
  epsilonLow: u32;
  epsilonHigh: u32;
}

/** gamma / sqrt(variance + epsilon); forward and backward come to the same bits. */
export function normFactor(thread: i32, threads: i32, at: usize): void {
  const job = changetype<FactorJob>(at);
  const epsilon = double(job.epsilonLow, job.epsilonHigh);
  for (let c: usize = 0; c < <usize>(job.channels << 2); c += 4)
    store<f32>(job.factor + c, <f32>(<f64>load<f32>(job.gamma + c) / sqrt<f64>(<f64>load<f32>(job.variance + c) + epsilon)));
}

@unmanaged class NormGradientJob {
  counter: usize;
  /** [block][2][channels], float64: sums of g and of g * (x - mean). */
  partial: usize;
  blocks: i32;
  rows: i32;
  channels: i32;
  factor: usize;
  variance: usize;
  slope: usize;
  offset: usize;
  dgamma: usize;
  dbeta: usize;
  epsilonLow: u32;
  epsilonHigh: u32;
}

/** dx = factor * g - (x - mean) * slope - offset: slope and offset, and the gradients of gamma and beta. */
export function normGradient(thread: i32, threads: i32, at: usize): void {
  const job = changetype<NormGradientJob>(at);
  const channels = job.channels, rows = <f64>job.rows;
  const epsilon = double(job.epsilonLow, job.epsilonHigh);
  addBlocks(job.partial, job.blocks, 2 * channels);
  for (let c = 0; c < channels; c++) {
    const single = <usize>(c << 2);
    const first = load<f64>(job.partial + <usize>(c << 3));
    const second = load<f64>(job.partial + <usize>((channels + c) << 3));
    const factor = <f64>load<f32>(job.factor + single);
    const spread = <f64>load<f32>(job.variance + single) + epsilon;
    store<f32>(job.slope + single, <f32>((factor * second) / spread / rows));
    store<f32>(job.offset + single, <f32>((factor * first) / rows));
    store<f32>(job.dgamma + single, <f32>(second / sqrt<f64>(spread)));
    store<f32>(job.dbeta + single, <f32>first);
  }
}
