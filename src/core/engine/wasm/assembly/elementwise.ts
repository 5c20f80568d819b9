// One value in, one value out: additions and their kind over whole tensors, and the optimisers' steps.
import { claim, smaller } from './work';

const CLAIM: i32 = 16384; // floats

@unmanaged class FillJob {
  counter: usize;
  result: usize;
  count: i32;
}

export function fillZero(thread: i32, threads: i32, at: usize): void {
  const job = changetype<FillJob>(at);
  for (;;) {
    const first = claim(job.counter) * CLAIM;
    if (first >= job.count) return;
    memory.fill(job.result + (<usize>first << 2), 0, <usize>(smaller(first + CLAIM, job.count) - first) << 2);
  }
}

@unmanaged class BinaryJob {
  counter: usize;
  a: usize;
  b: usize;
  result: usize;
  count: i32;
}

export function add(thread: i32, threads: i32, at: usize): void {
  const job = changetype<BinaryJob>(at);
  for (;;) {
    const first = claim(job.counter) * CLAIM;
    if (first >= job.count) return;
    const end = smaller(first + CLAIM, job.count);
    let i = first;
    for (; i + 4 <= end; i += 4) {
      const p = <usize>i << 2;
      v128.store(job.result + p, f32x4.add(v128.load(job.a + p), v128.load(job.b + p)));
    }
    for (; i < end; i++) {
      const p = <usize>i << 2;
      store<f32>(job.result + p, load<f32>(job.a + p) + load<f32>(job.b + p));
    }
  }
}

export function multiply(thread: i32, threads: i32, at: usize): void {
  const job = changetype<BinaryJob>(at);
  for (;;) {
    const first = claim(job.counter) * CLAIM;
    if (first >= job.count) return;
    const end = smaller(first + CLAIM, job.count);
    let i = first;
    for (; i + 4 <= end; i += 4) {
      const p = <usize>i << 2;
      v128.store(job.result + p, f32x4.mul(v128.load(job.a + p), v128.load(job.b + p)));
    }
    for (; i < end; i++) {
      const p = <usize>i << 2;
      store<f32>(job.result + p, load<f32>(job.a + p) * load<f32>(job.b + p));
    }
  }
}

/** max(a, 0); b is not read. */
export function relu(thread: i32, threads: i32, at: usize): void {
  const job = changetype<BinaryJob>(at);
  const zero = f32x4.splat(0);
  for (;;) {
    const first = claim(job.counter) * CLAIM;
    if (first >= job.count) return;
    const end = smaller(first + CLAIM, job.count);
    let i = first;
    for (; i + 4 <= end; i += 4) {
      const p = <usize>i << 2;
      v128.store(job.result + p, f32x4.max(v128.load(job.a + p), zero));
    }
    for (; i < end; i++) {
      const p = <usize>i << 2;
      store<f32>(job.result + p, max<f32>(load<f32>(job.a + p), 0));
    }
  }
}

@unmanaged class SgdJob {
  counter: usize;
  value: usize;
  gradient: usize;
  velocity: usize;
  count: i32;
  learningRate: f32;
  momentum: f32;
  weightDecay: f32;
  nesterov: i32;
}

/** g += decay * value; velocity = momentum * velocity + g; value -= rate * (velocity, or g + momentum * velocity). */
export function sgd(thread: i32, threads: i32, at: usize): void {
  const job = changetype<SgdJob>(at);
  const rate = f32x4.splat(job.learningRate), momentum = f32x4.splat(job.momentum), decay = f32x4.splat(job.weightDecay);
  const nesterov = job.nesterov != 0;
  for (;;) {
    const first = claim(job.counter) * CLAIM;
    if (first >= job.count) return;
    const end = smaller(first + CLAIM, job.count);
    let i = first;
    for (; i + 4 <= end; i += 4) {
      const p = <usize>i << 2;
      const value = v128.load(job.value + p);
      const g = f32x4.add(v128.load(job.gradient + p), f32x4.mul(decay, value));
      const v = f32x4.add(f32x4.mul(momentum, v128.load(job.velocity + p)), g);
      const direction = nesterov ? f32x4.add(g, f32x4.mul(momentum, v)) : v;
      v128.store(job.velocity + p, v);
      v128.store(job.value + p, f32x4.sub(value, f32x4.mul(rate, direction)));
    }
    for (; i < end; i++) {
      const p = <usize>i << 2;
      const value = load<f32>(job.value + p);
      const g = load<f32>(job.gradient + p) + job.weightDecay * value;
      const v = job.momentum * load<f32>(job.velocity + p) + g;
      store<f32>(job.velocity + p, v);
      store<f32>(job.value + p, value - job.learningRate * (nesterov ? g + job.momentum * v : v));
    }
  }
}

@unmanaged class AdamJob {
  counter: usize;
  value: usize;
  gradient: usize;
  first: usize; // first moment
  second: usize; // second moment
  count: i32;
  beta1: f32;
  rest1: f32; // 1 - beta1
  beta2: f32;
  rest2: f32; // 1 - beta2
  /** Learning rate / (1 - beta1^step). */
  stepSize: f32;
  /** 1 / sqrt(1 - beta2^step). */
  correction: f32;
  epsilon: f32;
  /** Added to the gradient as decay * value. */
  coupledDecay: f32;
  /** The value is multiplied with this first (AdamW: 1 - rate * decay). */
  shrink: f32;
}

export function adam(thread: i32, threads: i32, at: usize): void {
  const job = changetype<AdamJob>(at);
  const beta1 = f32x4.splat(job.beta1), rest1 = f32x4.splat(job.rest1), beta2 = f32x4.splat(job.beta2), rest2 = f32x4.splat(job.rest2);
  const stepSize = f32x4.splat(job.stepSize), correction = f32x4.splat(job.correction), epsilon = f32x4.splat(job.epsilon);
  const decay = f32x4.splat(job.coupledDecay), shrink = f32x4.splat(job.shrink);
  for (;;) {
    const first = claim(job.counter) * CLAIM;
    if (first >= job.count) return;
    const end = smaller(first + CLAIM, job.count);
    let i = first;
    for (; i + 4 <= end; i += 4) {
      const p = <usize>i << 2;
      const value = v128.load(job.value + p);
      const g = f32x4.add(v128.load(job.gradient + p), f32x4.mul(decay, value));
      const m = f32x4.add(f32x4.mul(beta1, v128.load(job.first + p)), f32x4.mul(rest1, g));
      const v = f32x4.add(f32x4.mul(beta2, v128.load(job.second + p)), f32x4.mul(rest2, f32x4.mul(g, g)));
      const change = f32x4.div(f32x4.mul(stepSize, m), f32x4.add(f32x4.mul(f32x4.sqrt(v), correction), epsilon));
      v128.store(job.first + p, m);
      v128.store(job.second + p, v);
      v128.store(job.value + p, f32x4.sub(f32x4.mul(value, shrink), change));
    }
    for (; i < end; i++) {
      const p = <usize>i << 2;
      const value = load<f32>(job.value + p);
      const g = load<f32>(job.gradient + p) + job.coupledDecay * value;
      const m = job.beta1 * load<f32>(job.first + p) + job.rest1 * g;
      const v = job.beta2 * load<f32>(job.second + p) + job.rest2 * (g * g);
      store<f32>(job.first + p, m);
      store<f32>(job.second + p, v);
      store<f32>(job.value + p, value * job.shrink - (job.stepSize * m) / (sqrt<f32>(v) * job.correction + job.epsilon));
    }
  }
}
