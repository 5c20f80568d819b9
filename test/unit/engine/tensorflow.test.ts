import * as tf from '@tensorflow/tfjs-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { closeEngine, openEngine } from '../../../src/core/engine/choose';
import { maxPool3dGradient } from '../../../src/core/engine/ops/pool';
import { FURTHER_TRIALS, TRIALS } from '../../../src/core/engine/tensorflow/trials';
import { buildProgram } from '../../../src/core/model/program';
import { CASES, specOf, volumesOf } from '../../conformance/cases';
import { engineResults } from '../../conformance/engine-results';
import { FixtureReference } from '../../conformance/reference';
import { installStandIn, REGISTERED } from './tensorflow-stand-in';

const standIn = installStandIn();
const tensorflow = { named: standIn.folder };
afterEach(() => {
  delete process.env.STAND_IN_USES_GPU;
});
afterAll(async () => {
  await closeEngine();
  standIn.remove();
});

describe('the engine tensorflow', () => {
  it('opens with what was found, tested operation by operation, and says where it computes', async () => {
    const report = await openEngine({ engine: 'tensorflow', tensorflow, threads: 2 });
    expect(tf.getBackend()).toBe('tensorflow');
    expect(report).toMatchObject({ name: 'tensorflow', threads: 2 });
    expect(report.reason).toBe(
      `asked for: @tensorflow/tfjs-node 4.22.0 (found from ${standIn.folder}), TensorFlow 2.9.1 on the processor`,
    );
    const [test] = report.selfTest;
    expect(test).toMatchObject({ module: '@tensorflow/tfjs-node', ok: true });
    expect(test.detail).toContain(`${Object.keys({ ...TRIALS, ...FURTHER_TRIALS }).length} operations`);
    expect(test.gflops).toBeGreaterThan(0);
  });

  it('opens again after it was closed', async () => {
    await openEngine({ engine: 'tensorflow', tensorflow });
    await closeEngine();
    expect(tf.findBackend('tensorflow')).toBeNull();
    await openEngine({ engine: 'tensorflow', tensorflow });
    expect(tf.tidy(() => tf.add(1, 2).arraySync())).toBe(3);
  });

  it('is on a card where TensorFlow says that it uses one', async () => {
    process.env.STAND_IN_USES_GPU = '1';
    const report = await openEngine({ engine: 'tensorflow', tensorflow });
    expect(report.reason).toMatch(/TensorFlow 2\.9\.1 on an NVIDIA card$/);
  });

  it('refuses a TensorFlow that computes wrongly', async () => {
    await openEngine({ engine: 'tensorflow', tensorflow });
    const right = tf.getKernel('Conv3D', 'tensorflow');
    tf.unregisterKernel('Conv3D', 'tensorflow');
    await expect(openEngine({ engine: 'tensorflow', tensorflow })).rejects.toThrow(
      /does not compute rightly: conv3d fails: Kernel 'Conv3D' not registered/,
    );
    tf.registerKernel({
      ...right,
      kernelFunc: (given) => {
        const result = right.kernelFunc(given) as tf.TensorInfo;
        const values = (given.backend as tf.KernelBackend).readSync(result.dataId) as Float32Array;
        values[0] += 0.5;
        return result;
      },
    });
    await expect(openEngine({ engine: 'tensorflow', tensorflow })).rejects.toThrow(
      /does not compute rightly: conv3d is off by .* of its largest value\. Choose another engine\./,
    );
    tf.unregisterKernel('Conv3D', 'tensorflow');
    tf.registerKernel(right);
  });

  it('says what to install where nothing is found', async () => {
    await expect(openEngine({ engine: 'tensorflow', tensorflow: {} })).rejects.toThrow(
      /needs @tensorflow\/tfjs-node-gpu \(an NVIDIA card with CUDA 11\.2\) or @tensorflow\/tfjs-node, and neither was found/,
    );
  });
});

// The real package's native library runs on no machine of ours. Its list of kernels is known, and whatever is asked for
// beyond it fails here as it would there.
describe('what our operations ask of TensorFlow', () => {
  beforeAll(async () => {
    await openEngine({ engine: 'tensorflow', tensorflow });
  });

  it('is nothing that @tensorflow/tfjs-node does not register, in a training step and class maps either', async () => {
    expect(REGISTERED.length).toBeGreaterThan(150);
    const before = tf.memory().numTensors;
    for (const trial of [...Object.values(TRIALS), ...Object.values(FURTHER_TRIALS)])
      tf.tidy(() => void trial());
    expect(tf.memory().numTensors).toBe(before);
    // One case of test/conformance, which runs the others on the same stand-in and holds them to PyTorch.
    for (const given of CASES.filter(({ name }) => name === 'narrow-18-Adetached-compact')) {
      const parameters = buildProgram(specOf(given), { fused: true }).parameters.map(({ name }) => name);
      const { scales } = FixtureReference.read(given, parameters);
      const results = await engineResults(given, await volumesOf(given), scales);
      expect([...results.keys()].some((name) => name.startsWith('map/'))).toBe(true);
    }
    const asked = [...standIn.asked()];
    expect(asked.filter((kernel) => !REGISTERED.includes(kernel))).toEqual([]);
    expect(asked).toEqual(
      expect.arrayContaining([
        ...['Conv3D', 'Conv3DBackpropFilterV2', 'Conv3DBackpropInputV2'],
        ...['PadV2', 'ScatterNd', 'Select', 'StridedSlice', 'Mean', 'Rsqrt', 'Transpose', 'Softmax'],
      ]),
    );
  });

  it('reaches every voxel of a pooling larger than single precision counts', () => {
    tf.tidy(() => {
      // The third maximum's address is odd and above 2^24: no number of single precision.
      const voxels = 2 ** 23 + 1;
      const [n, last] = [3, voxels - 1];
      const indices = tf.tensor5d([0, last - 1, last - 1], [n, 1, 1, 1, 1], 'int32');
      const dy = tf.tensor5d([1, 2, 3], [n, 1, 1, 1, 1]);
      const whole = { size: [1, 1, voxels], stride: [1, 1, 1], padding: [0, 0, 0] } as const;
      const dx = maxPool3dGradient(dy, indices, [n, 1, 1, voxels, 1], whole).dataSync();
      expect([dx[0], dx[voxels + last - 1], dx[2 * voxels + last - 1]]).toEqual([1, 2, 3]);
    });
  });
});
