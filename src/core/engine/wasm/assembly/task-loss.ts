// A sigmoid decision per voxel and task: probabilities with the sums that a loss is made of, and its gradient.
import { claim, smaller } from './work';

/** Rows (voxels) of one piece of work: its sums are its own, so that they do not depend on the threads. */
const BLOCK: i32 = 2048;
/** So many factors between 1 and 2 are multiplied before the logarithm of their product is taken. */
const FACTORS: i32 = 64;

/** Below, exp is 0 in single precision. */
const LEAST: f32 = -87;
const LOG2E: f32 = 1.44269504;
const LN2_HIGH: f32 = 0.693359375;
const LN2_LOW: f32 = -2.12194440e-4;

/** exp(x) for x <= 0: x = n ln 2 + r, |r| <= ln 2 / 2, and a polynomial of degree 6 in r (Taylor; error below 1.3e-7). */
// @ts-ignore: decorator
@inline function exponential(x: v128): v128 {
  const clamped = f32x4.max(x, f32x4.splat(LEAST));
  const n = f32x4.nearest(f32x4.mul(clamped, f32x4.splat(LOG2E)));
  let r = f32x4.sub(clamped, f32x4.mul(n, f32x4.splat(LN2_HIGH)));
  r = f32x4.sub(r, f32x4.mul(n, f32x4.splat(LN2_LOW)));
  let p = f32x4.splat(0.0013888889);
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.008333333));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.041666668));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.16666667));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.5));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1));
  const power = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23);
  return f32x4.mul(p, power);
}

/** Four numbers at `at`, or as many as `lanes` says and 0 for the others. */
// @ts-ignore: decorator
@inline function loadLanes(at: usize, lanes: i32): v128 {
  if (lanes >= 4) return v128.load(at);
  let value = f32x4.splat(0);
  value = f32x4.replace_lane(value, 0, load<f32>(at));
  if (lanes > 1) value = f32x4.replace_lane(value, 1, load<f32>(at, 4));
  if (lanes > 2) value = f32x4.replace_lane(value, 2, load<f32>(at, 8));
  return value;
}

// @ts-ignore: decorator
@inline function storeLanes(at: usize, value: v128, lanes: i32): void {
  if (lanes >= 4) {
    v128.store(at, value);
    return;
  }
  store<f32>(at, f32x4.extract_lane(value, 0));
  if (lanes > 1) store<f32>(at, f32x4.extract_lane(value, 1), 4);
  if (lanes > 2) store<f32>(at, f32x4.extract_lane(value, 2), 8);
}

@unmanaged class TaskJob {
  counter: usize;
  /** [rows, tasks] */
  z: usize;
  p: usize;
  /** int32 [rows] */
  codes: usize;
  /** [codes, padded] */
  members: usize;
  /** [blocks, 4, padded]: cross-entropy, p y, p, y. For the gradient [3, padded]: its factors. */
  sums: usize;
  rows: i32;
  tasks: i32;
  /** Tasks rounded up to a multiple of 4. */
  padded: i32;
}

/** p = sigmoid(z), and by task and block the sums of max(z, 0) - z y + log(1 + exp(-|z|)), p y, p and y. */
export function taskProbabilities(thread: i32, threads: i32, at: usize): void {
  const job = changetype<TaskJob>(at);
  const tasks = job.tasks;
  const stride = <usize>tasks << 2, padded = <usize>job.padded << 2;
  const one = f32x4.splat(1), zero = f32x4.splat(0);
  for (;;) {
    const block = claim(job.counter);
    const first = block * BLOCK;
    if (first >= job.rows) return;
    const end = smaller(first + BLOCK, job.rows);
    const sums = job.sums + <usize>block * padded * 4;
    memory.fill(sums, 0, padded * 4);
    for (let from = first; from < end; from += FACTORS) {
      const to = smaller(from + FACTORS, end);
      for (let task = 0; task < tasks; task += 4) {
        const lanes = tasks - task, offset = <usize>task << 2;
        let entropy = zero, both = zero, predicted = zero, present = zero, product = one;
        for (let row = from; row < to; row++) {
          const place = <usize>row * stride + offset;
          const z = loadLanes(job.z + place, lanes);
          const y = v128.load(job.members + <usize>load<i32>(job.codes + (<usize>row << 2)) * padded + offset);
          const e = exponential(f32x4.neg(f32x4.abs(z)));
          const above = f32x4.add(one, e);
          const q = f32x4.div(one, above);
          const p = v128.bitselect(f32x4.mul(e, q), q, f32x4.lt(z, zero));
          entropy = f32x4.add(entropy, f32x4.sub(f32x4.max(z, zero), f32x4.mul(z, y)));
          product = f32x4.mul(product, above);
          both = f32x4.add(both, f32x4.mul(p, y));
          predicted = f32x4.add(predicted, p);
          present = f32x4.add(present, y);
          storeLanes(job.p + place, p, lanes);
        }
        let logs = zero;
        logs = f32x4.replace_lane(logs, 0, NativeMathf.log(f32x4.extract_lane(product, 0)));
        logs = f32x4.replace_lane(logs, 1, NativeMathf.log(f32x4.extract_lane(product, 1)));
        logs = f32x4.replace_lane(logs, 2, NativeMathf.log(f32x4.extract_lane(product, 2)));
        logs = f32x4.replace_lane(logs, 3, NativeMathf.log(f32x4.extract_lane(product, 3)));
        const sum = sums + offset;
        v128.store(sum, f32x4.add(v128.load(sum), f32x4.add(entropy, logs)));
        v128.store(sum + padded, f32x4.add(v128.load(sum + padded), both));
        v128.store(sum + 2 * padded, f32x4.add(v128.load(sum + 2 * padded), predicted));
        v128.store(sum + 3 * padded, f32x4.add(v128.load(sum + 3 * padded), present));
      }
    }
  }
}

/** Over p: a (p - y) + p (1 - p) (b + c y), with the factors a, b, c of every task. */
export function taskGradient(thread: i32, threads: i32, at: usize): void {
  const job = changetype<TaskJob>(at);
  const tasks = job.tasks;
  const stride = <usize>tasks << 2, padded = <usize>job.padded << 2;
  const one = f32x4.splat(1);
  for (;;) {
    const first = claim(job.counter) * BLOCK;
    if (first >= job.rows) return;
    const end = smaller(first + BLOCK, job.rows);
    for (let row = first; row < end; row++) {
      const members = job.members + <usize>load<i32>(job.codes + (<usize>row << 2)) * padded;
      for (let task = 0; task < tasks; task += 4) {
        const lanes = tasks - task, offset = <usize>task << 2;
        const place = job.p + <usize>row * stride + offset;
        const p = loadLanes(place, lanes);
        const y = v128.load(members + offset);
        const factors = job.sums + offset;
        const a = v128.load(factors), b = v128.load(factors + padded), c = v128.load(factors + 2 * padded);
        const slope = f32x4.mul(p, f32x4.sub(one, p));
        const dice = f32x4.mul(slope, f32x4.add(b, f32x4.mul(c, y)));
        storeLanes(place, f32x4.add(f32x4.mul(a, f32x4.sub(p, y)), dice), lanes);
      }
    }
  }
}
