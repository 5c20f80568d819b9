import { KERNELS } from '../../ops/kernels';
import type { WeightedLabels } from '../../ops/cross-entropy';
import type { GpuProgram } from '../backend';
import { sizeOf, table, type Implementation } from './implementation';
import { ENTRY, GROUP, forEach, forEachGroups, laidOut, storage, uniform } from './shader-text';
import { words } from './uniform-values';

/** A thread takes a row: there are few, of two classes. The table holds labels, then the weights' bits. */
const CROSS_ENTROPY: GpuProgram = {
  key: 'cross-entropy gradient',
  wgsl: () => `
${storage([
  { name: 'logits', type: 'f32' },
  { name: 'targets', type: 'i32' },
  { name: 'gradient', type: 'f32', access: 'read_write' },
])}
${uniform(3, 'count: u32, classes: u32,')}
${forEach(`
  let start = i * sizes.classes;
  var highest = logits[start];
  for (var c = 1u; c < sizes.classes; c++) { highest = max(highest, logits[start + c]); }
  var sum = 0.0;
  for (var c = 0u; c < sizes.classes; c++) { sum += exp(logits[start + c] - highest); }
  let label = u32(targets[i]);
  let weight = bitcast<f32>(targets[sizes.count + i]);
  for (var c = 0u; c < sizes.classes; c++) {
    gradient[start + c] = weight * (exp(logits[start + c] - highest) / sum - select(0.0, 1.0, c == label));
  }`)}`,
};

const crossEntropyGradient: Implementation = (backend, { logits }, attrs) => {
  const { labels, weights } = attrs as unknown as WeightedLabels;
  const [rows, classes] = logits.shape;
  const gradient = backend.output(logits.shape, 'float32');
  const bits = new Int32Array(Float32Array.from(weights).buffer);
  const targets = table(backend, Int32Array.from([...labels, ...bits]));
  backend.dispatch(CROSS_ENTROPY, [logits, targets, gradient], forEachGroups(rows), words(rows, classes));
  backend.disposeData(targets.dataId);
  return gradient;
};

/** Voxels whose sums are added on the GPU; blocks are added in double precision by whoever reads them. */
const BLOCK = 2048;
const LANES = 16;
const DOWN = 16;

/**
 * The sigmoid and, by task, sums over a block of voxels: cross-entropy, p y, p and y. log(1 + e) loses small e, so these
 * take three terms of its series.
 */
const PROBABILITIES: GpuProgram = {
  key: 'task-probabilities',
  wgsl: () => `
${storage([
  { name: 'z', type: 'f32' },
  { name: 'codes', type: 'i32' },
  { name: 'members', type: 'f32' },
  { name: 'p', type: 'f32', access: 'read_write' },
  { name: 'sums', type: 'f32', access: 'read_write' },
])}
${uniform(5, 'rows: u32, tasks: u32, padded: u32, laneBlocks: u32, groups: u32,')}
var<workgroup> partial: array<vec4<f32>, ${LANES * DOWN}>;
@compute @workgroup_size(${LANES * DOWN})
fn main(${ENTRY}) {
  let number = ${GROUP};
  if (number >= sizes.groups) { return; }
  let block = number / sizes.laneBlocks;
  let task = number % sizes.laneBlocks * ${LANES}u + thread % ${LANES}u;
  let down = thread / ${LANES}u;
  let end = min(sizes.rows, (block + 1u) * ${BLOCK}u);
  var mine = vec4<f32>(0);
  if (task < sizes.tasks) {
    for (var row = block * ${BLOCK}u + down; row < end; row += ${DOWN}u) {
      let i = row * sizes.tasks + task;
      let logit = z[i];
      let y = members[u32(codes[row]) * sizes.padded + task];
      let e = exp(-abs(logit));
      let value = select(1.0, e, logit < 0.0) / (1.0 + e);
      let log1p = select(log(1.0 + e), e * (1.0 - e * (0.5 - e / 3.0)), e < 0.01);
      p[i] = value;
      mine += vec4<f32>(max(logit, 0.0) - logit * y + log1p, value * y, value, y);
    }
  }
  partial[thread] = mine;
  for (var half = ${DOWN / 2}u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (down < half) { partial[thread] += partial[thread + half * ${LANES}u]; }
  }
  if (down == 0u && task < sizes.padded) {
    let at = 4u * block * sizes.padded + task;
    let sum = partial[thread];
    sums[at] = sum.x;
    sums[at + sizes.padded] = sum.y;
    sums[at + 2u * sizes.padded] = sum.z;
    sums[at + 3u * sizes.padded] = sum.w;
  }
}`,
};

const taskProbabilities: Implementation = (backend, { z, codes, members }) => {
  const tasks = z.shape[4];
  const padded = members.shape[1];
  const rows = sizeOf(z) / tasks;
  const p = backend.output(z.shape, 'float32');
  const blocks = Math.ceil(rows / BLOCK);
  const sums = backend.output([blocks, 4, padded], 'float32');
  const laneBlocks = Math.ceil(padded / LANES);
  const groups = blocks * laneBlocks;
  backend.dispatch(
    PROBABILITIES,
    [z, codes, members, p, sums],
    laidOut(groups),
    words(rows, tasks, padded, laneBlocks, groups),
  );
  return [p, sums];
};

const GRADIENT: GpuProgram = {
  key: 'task-gradient',
  wgsl: () => `
${storage([
  { name: 'p', type: 'f32', access: 'read_write' },
  { name: 'codes', type: 'i32' },
  { name: 'members', type: 'f32' },
  { name: 'factors', type: 'f32' },
])}
${uniform(4, 'count: u32, tasks: u32, padded: u32,')}
${forEach(`
  let task = i % sizes.tasks;
  let y = members[u32(codes[i / sizes.tasks]) * sizes.padded + task];
  let value = p[i];
  p[i] = factors[task] * (value - y) + value * (1.0 - value) * (factors[sizes.padded + task] + factors[2u * sizes.padded + task] * y);`)}`,
};

const taskGradient: Implementation = (backend, { p, codes, members, factors }) => {
  const count = sizeOf(p);
  const sizes = words(count, p.shape[4], members.shape[1]);
  backend.dispatch(GRADIENT, [p, codes, members, factors], forEachGroups(count), sizes);
  return [];
};

export const lossKernels: Readonly<Record<string, Implementation>> = {
  [KERNELS.crossEntropyGradient]: crossEntropyGradient,
  [KERNELS.taskProbabilities]: taskProbabilities,
  [KERNELS.taskGradient]: taskGradient,
};
