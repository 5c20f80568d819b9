import type { TensorInfo } from '@tensorflow/tfjs-core';
import { KERNELS } from '../../ops/kernels';
import type { AxisTaps, Taps3 } from '../../ops/taps';
import type { GpuBackend, GpuProgram } from '../backend';
import { sameMemory, sizeOf, table, type Implementation } from './implementation';
import { forEach, forEachGroups, storage, uniform } from './shader-text';
import { words } from './uniform-values';

/** Along one axis of [before, inputs, behind]. The table holds starts, then positions, then the weights' bits. */
const ALONG: GpuProgram = {
  key: 'resample along an axis',
  wgsl: () => `
${storage([
  { name: 'x', type: 'f32' },
  { name: 'taps', type: 'i32' },
  { name: 'y', type: 'f32', access: 'read_write' },
])}
${uniform(3, 'count: u32, inputs: u32, outputs: u32, behind: u32, positions: i32, weights: i32,')}
${forEach(`
  let inner = i % sizes.behind;
  let outer = i / sizes.behind;
  let o = outer % sizes.outputs;
  let start = (outer / sizes.outputs) * sizes.inputs;
  var sum = 0.0;
  for (var t = taps[o]; t < taps[o + 1u]; t++) {
    let at = u32(taps[sizes.positions + t]);
    sum += bitcast<f32>(taps[sizes.weights + t]) * x[(start + at) * sizes.behind + inner];
  }
  y[i] = sum;`)}`,
};

/** An axis at a time, those that shrink first: a sum over the taps of one axis instead of all combinations. */
const resample: Implementation = (backend, { x }, attrs) => {
  const { taps } = attrs as unknown as { taps: Taps3 };
  const axes = [0, 1, 2]
    .filter((a) => !isIdentity(taps[a]))
    .sort((a, b) => taps[a].outputs / taps[a].inputs - taps[b].outputs / taps[b].inputs);
  let y = sameMemory(backend, x);
  for (const a of axes) {
    const next = alongAxis(backend, y, taps[a], a + 1);
    backend.disposeData(y.dataId);
    y = next;
  }
  return y;
};

function isIdentity({ inputs, outputs, from, weights }: AxisTaps): boolean {
  return (
    inputs === outputs &&
    from.length === outputs &&
    from.every((f, o) => f === o) &&
    weights.every((w) => w === 1)
  );
}

function alongAxis(backend: GpuBackend, x: TensorInfo, taps: AxisTaps, axis: number): TensorInfo {
  const shape = x.shape.map((size, a) => (a === axis ? taps.outputs : size));
  const y = backend.output(shape, 'float32');
  const { starts, from, weights } = taps;
  const bits = new Int32Array(weights.buffer, weights.byteOffset, weights.length);
  const tensor = table(backend, Int32Array.from([...starts, ...from, ...bits]));
  const behind = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const count = sizeOf(y);
  const sizes = words(
    ...[count, taps.inputs, taps.outputs, behind],
    ...[starts.length, starts.length + from.length],
  );
  backend.dispatch(ALONG, [x, tensor, y], forEachGroups(count), sizes);
  backend.disposeData(tensor.dataId);
  return y;
}

export const resampleKernels: Readonly<Record<string, Implementation>> = { [KERNELS.resample]: resample };
