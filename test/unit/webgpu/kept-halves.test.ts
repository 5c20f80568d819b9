import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { closeEngine, engineMemory, openEngine, resetEnginePeak } from '../../../src/core/engine/choose';
import { keepHalf, keepsHalf, roundHalf } from '../../../src/core/engine/ops/keep-half';
import { HALF_KERNELS, KERNELS } from '../../../src/core/engine/ops/kernels';
import { kernelSettings } from '../../../src/core/engine/webgpu/kernels/settings';
import { networkSpec } from '../../../src/core/model/spec';
import { Random } from '../../../src/core/random';
import { bytesOfStep } from '../../../src/core/train/memory-need';
import { haveSoftwareGpu, useSoftwareGpu } from '../../software-gpu';
import { Training, type Trial } from '../model/training-in-memory';
import { plain } from './convolution-errors';
import { EMULATED_MATRICES } from './emulated-matrices';
import { gpuBackend, run, tensor } from './on-software-gpu';

/** As `keepHalf` rounds, to nearest and even. */
function rounded(values: Float32Array): Float32Array {
  return values.map((value) => {
    const unit = 2 ** (Math.max(-14, Math.floor(Math.log2(Math.abs(value)))) - 10);
    const units = value / unit;
    const down = Math.floor(units);
    const up = units - down > 0.5 || (units - down === 0.5 && down % 2 !== 0);
    return (down + Number(up)) * unit;
  });
}

describe.runIf(haveSoftwareGpu('lavapipe'))('grids that lie in half precision', () => {
  beforeAll(async () => {
    useSoftwareGpu('lavapipe');
    await openEngine({ engine: 'webgpu', precision: 'f16' });
  });
  afterAll(closeEngine);

  const random = Random.seeded(5);
  const values = (shape: readonly number[], about = 0) =>
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => about + random.normal());

  it('are rounded, infinite beyond 65504, half as large, and not to be read as they lie', async () => {
    const numbers = Float32Array.from([1 / 3, -1e5, 65504, 1e-9, 0.1, 2049, 2051, -7]);
    const x = tensor(numbers, [1, 1, 2, 1, 4]);
    const half = keepHalf(x);
    expect(gpuBackend().buffer(half).size).toBeLessThanOrEqual(1.25 * 8 * 2);
    expect(half.shape).toEqual(x.shape);
    await expect(half.data()).rejects.toThrow('cannot read a tensor that lies in half precision');
    expect(() => tf.add(half, 1)).toThrow('cannot read a tensor that lies in half precision');
    const [same] = run(KERNELS.subsamplePad, { x: half }, { stride: [1, 1, 1], channels: 4 });
    expect([...(await same.data())]).toEqual([
      ...rounded(numbers.subarray(0, 1)),
      -Infinity,
      65504,
      0,
      ...rounded(numbers.subarray(4, 5)),
      2048,
      2052,
      -7,
    ]);
    roundHalf(x);
    expect(await x.data()).toEqual(await same.data());
    tf.dispose([x, half, same]);
    expect(keepsHalf(tf.zeros([1, 2, 2, 2, 8]))).toBe(true);
    expect(keepsHalf(tf.zeros([1, 2, 2, 2, 6]))).toBe(false);
    expect(keepsHalf(tf.zeros([2, 8]))).toBe(false);
  });

  const shape = [2, 5, 4, 6, 8] as const;
  const channel = (about: number) => tensor(values([8], about).map(Math.abs), [8]);
  const pooled = [2, 3, 2, 3, 8] as const;
  const window = { size: [3, 3, 3], stride: [2, 2, 2], padding: [1, 1, 1] };
  /** Every kernel that reads them as they lie, and those of its inputs that may. */
  const cases: readonly [string, string, readonly string[], () => Record<string, tf.Tensor>, object][] = [
    ['a normalisation that adds a residual', KERNELS.batchNormTrain, ['x', 'residual'],
      () => ({ x: tensor(values(shape), shape), gamma: channel(1), beta: channel(0), residual: tensor(values(shape), shape) }),
      { epsilon: 1e-5, relu: true, overwrite: true }],
    ['the gradient of a normalisation', KERNELS.batchNormTrainGradient, ['x', 'y'],
      () => ({ dy: tensor(values(shape), shape), x: tensor(values(shape), shape), y: tensor(values(shape), shape), gamma: channel(1), mean: channel(0), variance: channel(1) }),
      { epsilon: 1e-5, relu: true, residual: true, overwrite: true }],
    ['the gradient of a normalisation that neither rectifies nor adds', KERNELS.batchNormTrainGradient, ['x'],
      () => ({ dy: tensor(values(shape), shape), x: tensor(values(shape), shape), y: tensor(values(shape), shape), gamma: channel(1), mean: channel(0), variance: channel(1) }),
      { epsilon: 1e-5, relu: false, residual: false, overwrite: true }],
    ['the gradient of scale and shift', KERNELS.scaleShiftGradient, ['x', 'y'],
      () => ({ dy: tensor(values(shape), shape), x: tensor(values(shape), shape), y: tensor(values(shape), shape), scale: channel(1) }),
      { relu: true, residual: true }],
    ['the gradient of a pooled normalisation', KERNELS.normPoolGradient, ['x'],
      () => ({ dy: tensor(values(pooled), pooled), x: tensor(values(shape), shape), indices: tensor(Int32Array.from(values(pooled), (_, i) => (7 * i) % 120), pooled), gamma: channel(1), mean: channel(0), variance: channel(1) }),
      { ...window, epsilon: 1e-5, overwrite: true }],
    ['a convolution', KERNELS.conv3d, ['x'],
      () => ({ x: tensor(values(shape), shape), filter: tensor(values([3, 3, 3, 8, 4]), [3, 3, 3, 8, 4]) }), plain],
    ["a filter's gradient", KERNELS.conv3dFilterGradient, ['x'],
      () => ({ x: tensor(values(shape), shape), dy: tensor(values([2, 5, 4, 6, 4]), [2, 5, 4, 6, 4]) }),
      { ...plain, filterShape: [3, 3, 3, 8, 4] }],
  ]; // prettier-ignore

  it.each(cases)('are read to the bit as the same numbers in single precision by %s', async (_, kernel, may, make, attrs) => {
    const made = make();
    const inputs: Record<string, tf.Tensor> = {};
    const singles: Record<string, tf.Tensor> = {};
    for (const [name, one] of Object.entries(made)) {
      inputs[name] = may.includes(name) ? keepHalf(one) : one;
      singles[name] = may.includes(name)
        ? tensor(rounded((await one.data()) as Float32Array), one.shape)
        : tf.tensor(await one.data(), one.shape, one.dtype);
    }
    const halves = run(kernel, inputs, attrs);
    const expected = run(kernel, singles, attrs);
    expect(halves.length).toBe(expected.length);
    for (const [at, one] of halves.entries()) {
      const found = await one.data();
      expect(found.some((value) => value !== 0)).toBe(true);
      expect(found).toEqual(await expected[at].data());
    }
    tf.dispose([...halves, ...expected, ...Object.values(made), ...Object.values(inputs), ...Object.values(singles)]);
  }); // prettier-ignore

  it.each([
    { way: 'taps', tile: 'small', parts: 2 },
    { way: 'matrix', tile: 'm64x64', parts: 1 },
  ] as const)(
    "are read to the bit as copies by a filter's gradient as $way $tile in $parts",
    async (choice) => {
      const backend = gpuBackend();
      const settings = kernelSettings(backend);
      const unit = { element: 'f16', m: 16, n: 16, k: 16, subgroup: 32 } as const;
      settings.matrices = [{ unit, dialect: EMULATED_MATRICES, limits: backend.device.limits }];
      settings.plan.choose = () => choice;
      const x = tensor(values([1, 4, 5, 4, 12]), [1, 4, 5, 4, 12]);
      const dy = tensor(values([1, 4, 5, 4, 18]), [1, 4, 5, 4, 18]);
      const half = keepHalf(x);
      try {
        const results: tf.TypedArray[] = [];
        for (const from of [x, half]) {
          const attrs = { ...plain, filterShape: [3, 3, 3, 12, 18] };
          backend.pool.resetPeak();
          const before = backend.pool.numBytesUsed;
          const [dfilter] = run(KERNELS.conv3dFilterGradient, { x: from, dy }, attrs);
          const partial = choice.parts > 1 ? choice.parts : 0;
          expect(backend.pool.peakBytesUsed - before).toBeLessThan(
            1.25 * 4 * dfilter.size * (1 + partial) + 4096,
          );
          results.push(await dfilter.data());
          dfilter.dispose();
        }
        expect(results[1]).toEqual(results[0]);
      } finally {
        Reflect.deleteProperty(settings.plan, 'choose');
        settings.matrices = [];
        tf.dispose([x, dy, half]);
      }
    },
  );

  it('are what matrix units read anyway: nothing is copied or written out for them', async () => {
    const backend = gpuBackend();
    const settings = kernelSettings(backend);
    const unit = { element: 'f16', m: 16, n: 16, k: 16, subgroup: 32 } as const;
    settings.matrices = [{ unit, dialect: EMULATED_MATRICES, limits: backend.device.limits }];
    settings.plan.choose = () => ({ way: 'matrix-halves', tile: 'm64x64', parts: 1 });
    const x = tensor(values([1, 4, 4, 4, 16]), [1, 4, 4, 4, 16]);
    const filter = tensor(values([27 * 16 * 16]), [3, 3, 3, 16, 16]);
    try {
      const half = keepHalf(x);
      const results: tf.TypedArray[] = [];
      for (const from of [x, half]) {
        backend.pool.resetPeak();
        const before = backend.pool.numBytesUsed;
        await backend.rehearse(async () => tf.dispose(run(KERNELS.conv3d, { x: from, filter }, plain)));
        const copies = 2 * 27 * 256 + (from === x ? 2 * x.size : 0);
        expect(backend.pool.peakBytesUsed - before).toBeLessThanOrEqual(4 * x.size + 1.25 * copies);
        const [y] = run(KERNELS.conv3d, { x: from, filter }, plain);
        results.push(await y.data());
        y.dispose();
      }
      expect(results[1]).toEqual(results[0]);
      half.dispose();
    } finally {
      Reflect.deleteProperty(settings.plan, 'choose');
      settings.matrices = [];
      tf.dispose([x, filter]);
    }
  });

  it('halve what a step of training holds, as is foreseen', async () => {
    const kernel = tf.getKernel(HALF_KERNELS.keepHalf, tf.getBackend())!;
    const spec = networkSpec({ arch: 'resnet50', geometry: 'medicalnet', width: 0.25 });
    const trial: Trial = { spec, grid: [64, 60, 64], batch: 4 };
    for (const checkpointActivations of [false, true]) {
      const peaks: number[] = [];
      for (const halves of [true, false]) {
        if (!halves) tf.unregisterKernel(HALF_KERNELS.keepHalf, tf.getBackend());
        const before = engineMemory()!.inUse;
        const training = new Training({ ...trial, checkpointActivations });
        const { network, config } = training;
        for (const name of network.weights.names) gpuBackend().buffer(network.weights.get(name));
        resetEnginePeak();
        // Tensors come and go as ever, and nothing has to be compiled.
        await gpuBackend().rehearse(async () => void (await training.step()));
        peaks.push(engineMemory()!.peak - before);
        const foreseen = bytesOfStep(network.program, config, [...trial.grid, 1]);
        training.dispose();
        if (halves)
          expect(Math.abs(foreseen / peaks[0] - 1), `${foreseen} of ${peaks[0]}`).toBeLessThan(0.15);
        expect(engineMemory()!.inUse, 'nothing leaks').toBe(before);
      }
      tf.registerKernel(kernel);
      expect(peaks[0] / peaks[1]).toBeLessThan(checkpointActivations ? 0.9 : 0.65);
    }
  });

  it('are the same where activations are computed twice: no bit of the weights changes', async () => {
    const spec = networkSpec({ arch: 'resnet10', geometry: 'compact', width: 0.125 });
    const after: Map<string, Float32Array>[] = [];
    for (const checkpointActivations of [false, true]) {
      const training = new Training({ spec, grid: [14, 12, 13], batch: 2, checkpointActivations });
      await training.step();
      const border = await training.network.weights.readBorder();
      after.push(new Map([...border].map(([name, { data }]) => [name, Float32Array.from(data)])));
      training.dispose();
    }
    const [once, twice] = after;
    const changed = [...once].filter(([name, values]) =>
      values.some((value, i) => value !== twice.get(name)![i]),
    );
    expect(changed.map(([name]) => name)).toEqual([]);
  });
});
