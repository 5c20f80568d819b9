import type * as tf from '@tensorflow/tfjs-core';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  closeEngine,
  engineMemory,
  enginePlan,
  openEngine,
  spareForScratch,
} from '../../../src/core/engine/choose';
import type { ConvGeometry } from '../../../src/core/engine/wasm/conv-geometry';
import { geometryOf } from '../../../src/core/engine/wasm/self-test';
import {
  choicesToTime,
  choiceText,
  estimatedChoice,
  type ConvChoice,
  type PlannedConv,
} from '../../../src/core/engine/webgpu/kernels/conv-choice';
import { computeConvolution } from '../../../src/core/engine/webgpu/kernels/convolution';
import { GpuPlan, gpuPlanKey } from '../../../src/core/engine/webgpu/kernels/gpu-plan';
import { estimatedScratchBytes, scratchBytes } from '../../../src/core/engine/webgpu/kernels/scratch-bytes';
import { kernelSettings } from '../../../src/core/engine/webgpu/kernels/settings';
import { TILE_SIZES, tilesServe } from '../../../src/core/engine/webgpu/kernels/tiled-convolution';
import { tuneConvolutions } from '../../../src/core/engine/webgpu/tuning';
import { networkSpec } from '../../../src/core/model/spec';
import type { TrainingConfig } from '../../../src/core/train/config';
import { fitStep } from '../../../src/core/train/memory-need';
import { haveSoftwareGpu, useSoftwareGpu } from '../../software-gpu';
import { Training } from '../model/training-in-memory';
import { plain } from './convolution-errors';
import { EMULATED_MATRICES } from './emulated-matrices';
import { gpuBackend } from './on-software-gpu';

const HALF_MATRICES = {
  unit: { element: 'f16', m: 16, n: 16, k: 16, subgroup: 32 },
  dialect: EMULATED_MATRICES,
} as const;

/** Large enough for tiles. */
const block: PlannedConv = {
  pass: 'y',
  g: geometryOf(2, [9, 8, 10], [16, 32], [3, 3, 3], plain),
  precision: 'f32',
};

/** Everything that could be chosen. */
function allChoices(conv: PlannedConv): readonly ConvChoice[] {
  const { pass, g, precision } = conv;
  const tiled = precision === 'f32' ? TILE_SIZES.filter((size) => tilesServe(pass, g, size)) : [];
  return [
    ...choicesToTime(conv, kernelSettings(gpuBackend())),
    ...tiled.map((size) => ({ way: `tiles-${size}`, tile: 'small', parts: 1 }) as const),
  ];
}

function greediest(conv: PlannedConv): ConvChoice {
  return allChoices(conv).reduce((a, b) => (scratchBytes(conv, b) > scratchBytes(conv, a) ? b : a));
}

describe.runIf(haveSoftwareGpu('lavapipe'))('what convolutions borrow on a GPU', () => {
  useSoftwareGpu('lavapipe');
  afterEach(closeEngine);

  it('is what is foreseen of every choice', async () => {
    await openEngine({ engine: 'webgpu' });
    const backend = gpuBackend();
    const settings = kernelSettings(backend);
    const { pool } = backend;
    settings.matrices = [{ ...HALF_MATRICES, limits: backend.device.limits }];
    const geometries: ConvGeometry[] = [
      block.g,
      geometryOf(1, [12, 12, 12], [1, 16], [7, 7, 7], { ...plain, stride: [2, 2, 2], padding: [3, 3, 3] }),
      geometryOf(2, [6, 6, 6], [32, 64], [3, 3, 3], { ...plain, stride: [2, 2, 2] }),
    ];
    const ways = new Set<string>();
    // Tensors and buffers come and go as ever, and nothing has to be compiled.
    await backend.rehearse(async () => {
      for (const g of geometries)
        for (const pass of ['y', 'dx', 'dfilter'] as const)
          for (const precision of ['f32', 'f16'] as const) {
            settings.precision = precision;
            const conv = { pass, g, precision };
            for (const choice of allChoices(conv)) {
              const [a, b, result] = tensorsOf(conv);
              pool.resetPeak();
              const before = pool.numBytesUsed;
              computeConvolution(backend, pass, g, choice, [a, b], result);
              const borrowed = pool.peakBytesUsed - before;
              const foreseen = scratchBytes(conv, choice);
              const what = `${gpuPlanKey(conv)}: ${choiceText(choice)}`;
              expect(borrowed, what).toBeGreaterThanOrEqual(foreseen);
              // Buffers are given again for what is up to a quarter smaller.
              expect(borrowed, what).toBeLessThanOrEqual(1.25 * foreseen);
              ways.add(`${choice.way}${choice.parts > 1 ? ' in parts' : ''}`);
              for (const { dataId } of [a, b, result]) backend.disposeData(dataId);
            }
          }
    });
    expect([...ways]).toEqual(
      expect.arrayContaining(['taps', 'taps in parts', 'matrix', 'matrix-halves', 'tiles-2', 'tiles-4']),
    );
  });

  it('stays within what an estimate leaves, whatever was recorded or timed', async () => {
    const spec = networkSpec({ arch: 'resnet10', geometry: 'monai', width: 0.25 });
    const trial = { spec, grid: [20, 18, 20], batch: 2 } as const;
    const shape = [...trial.grid, spec.inChannels] as const;
    /** Goes through a step for nothing. */
    const rehearse = async () => {
      const training = new Training(trial);
      try {
        await gpuBackend().rehearse(async () => void (await training.step()));
      } finally {
        training.dispose();
      }
    };
    await openEngine({ engine: 'webgpu' });
    const convs = await kernelSettings(gpuBackend()).plan.unknownTo(rehearse);
    const greedy = Object.fromEntries(convs.map((conv) => [gpuPlanKey(conv), choiceText(greediest(conv))]));
    expect(Object.values(greedy).some((text) => text.startsWith('tiles-'))).toBe(true);
    const example = new Training(trial);
    const fixed: TrainingConfig = { ...example.config, fixed: ['microBatch', 'checkpointActivations'] };
    const need = { program: example.network.program, training: fixed, shape };
    example.dispose();
    const { spare } = fitStep({ ...need, memory: { ...engineMemory()!, atMost: 2 ** 32 } });
    const memory = Math.ceil(2 ** 32 - spare);

    const replaced: string[] = [];
    const onPlanReplaced = (conv: string) => replaced.push(conv);
    await openEngine({ engine: 'webgpu', gpuMemory: memory, plan: greedy, onPlanReplaced });
    const { plan } = kernelSettings(gpuBackend());
    plan.spare = Infinity;
    await expect(rehearse()).rejects.toThrow('The GPU memory that may be used is full');

    // What the failed step left behind must not count.
    await openEngine({ engine: 'webgpu', gpuMemory: memory, plan: greedy, onPlanReplaced });
    spareForScratch(fitStep({ ...need, memory: engineMemory() }).spare);
    replaced.length = 0;
    await rehearse();
    expect(engineMemory()!.reserved).toBeLessThanOrEqual(memory);
    expect(replaced.length).toBeGreaterThan(0);
    for (const conv of convs)
      if (replaced.includes(gpuPlanKey(conv)))
        expect(enginePlan()![gpuPlanKey(conv)]).toBe(choiceText(estimatedChoice(conv, {})));
  });

  it('decides what is timed, and what was is only kept where everything was', async () => {
    await openEngine({ engine: 'webgpu' });
    const backend = gpuBackend();
    const { pool } = backend;
    // By this clock what borrows most is fastest.
    const timed = vi.spyOn(backend, 'timed').mockImplementation(async (work) => {
      pool.resetPeak();
      const before = pool.numBytesUsed;
      work();
      backend.flush();
      return 1 / (1 + pool.peakBytesUsed - before);
    });
    const tuned = async (spare: number) => {
      const plan = (kernelSettings(backend).plan = new GpuPlan());
      plan.spare = spare;
      await tuneConvolutions(backend, [block], { most: 1 });
      return plan;
    };
    try {
      const free = await tuned(Infinity);
      expect(free.choose(block).way).toBe('tiles-2');
      expect(free.timedNow()).toEqual({ [gpuPlanKey(block)]: choiceText(free.choose(block)) });
      const bounded = await tuned(0);
      expect(bounded.choose(block).way).toBe('taps');
      expect(bounded.timedNow()).toEqual({});
    } finally {
      timed.mockRestore();
    }
  });
});

describe('a plan within little memory', () => {
  const key = gpuPlanKey(block);
  const text = 'tiles-2 small 1';
  const tiles = { way: 'tiles-2', tile: 'small', parts: 1 } as const;
  const extra = scratchBytes(block, tiles) - estimatedScratchBytes(block);

  it('replays and keeps what it can afford, and falls back to what is estimated', () => {
    expect(extra).toBeGreaterThan(0);
    const replaced: unknown[] = [];
    const plan = new GpuPlan({ recorded: { [key]: text }, onReplaced: (...what) => replaced.push(what) });
    plan.spare = extra;
    expect(plan.choose(block)).toEqual(tiles);
    expect(replaced).toEqual([]);
    plan.spare = extra - 1;
    const estimated = estimatedChoice(block, {});
    expect(plan.choose(block)).toEqual(estimated);
    expect(replaced).toEqual([[key, text, choiceText(estimated)]]);
    expect(plan.used()).toEqual({ [key]: choiceText(estimated) });
    expect(new GpuPlan({ timed: { [key]: text } }).choose(block)).toEqual(tiles);
  });
});

function tensorsOf({ pass, g }: PlannedConv): tf.TensorInfo[] {
  const x = [g.batch, ...g.input, g.inChannels];
  const y = [g.batch, ...g.output, g.outChannels];
  const filter = [...g.kernel, g.inChannels, g.outChannels];
  const shapes = { y: [x, filter, y], dx: [y, filter, x], dfilter: [x, y, filter] }[pass];
  return shapes.map((shape) => gpuBackend().output(shape, 'float32'));
}
