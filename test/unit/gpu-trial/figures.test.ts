import { describe, expect, it } from 'vitest';
import { shareOfCeiling } from '../../../scripts/bench/gpu/share.mjs';
import { figuresOf } from '../../../scripts/gpu-trial/figures.mjs';

describe("a device's ceilings", () => {
  const ceilings = { copy: 1000, f32: 10, f16: 40 };
  it('are those of its arithmetic or of its memory, whichever takes longer', () => {
    // 1 TFLOP at 10 TFLOP/s takes 100 ms; 200 GB at 1000 GB/s take 200.
    expect(shareOfCeiling(ceilings, { flops: 1e12, ms: 200, precision: 'f32' })).toEqual({
      share: 0.5,
      bound: 'arithmetic',
    });
    expect(shareOfCeiling(ceilings, { flops: 1e12, bytes: 2e11, ms: 400, precision: 'f32' })).toEqual({
      share: 0.5,
      bound: 'memory',
    });
    expect(shareOfCeiling(ceilings, { flops: 1e12, ms: 50, precision: 'f16' })?.share).toBe(0.5);
    expect(shareOfCeiling({ copy: 1000, f32: 0 }, { flops: 1, ms: 1, precision: 'f32' })).toBeUndefined();
  });
});

describe('the figures of a trial', () => {
  const steps = (f32: number) => ({
    name: 'steps',
    results: [
      {
        cases: [
          {
            name: 'step resnet18 paper 96 n8',
            sides: {
              'webgpu-f32': { ms: f32 },
              'webgpu-f16': { failed: 'lost' },
              'tf32-off': { ms: 80 },
              wasm: { ms: 3100 },
            },
          },
        ],
      },
    ],
  });

  it('stand beside what was promised, and leave out what was not measured', () => {
    expect(figuresOf([steps(100)])).toEqual([
      {
        figure: 'step resnet18 paper 96 n8: webgpu-f32 beside tf32-off',
        goal: 'at least 0.8x',
        seen: '0.80x (100.0 and 80.0 ms)',
        reached: true,
      },
      {
        figure: 'step resnet18 paper 96 n8: webgpu-f32 beside wasm',
        goal: 'at least 30x',
        seen: '31.00x (100.0 and 3100.0 ms)',
        reached: true,
      },
    ]);
    expect(figuresOf([steps(110)]).map(({ reached }) => reached)).toEqual([false, false]);
  });

  it('say of whole scans what they held, and why one does not train', () => {
    const scans = {
      name: 'scans',
      results: [
        {
          cases: [
            {
              name: 'step resnet50 paper 160x256x256 n8',
              batch: 8,
              memory: 24e9,
              parts: { 'webgpu-f32': { microBatch: 2, checkpointActivations: true } },
              sides: {
                'webgpu-f32': { ms: 2000, memory: { peak: 14e9, reserved: 17e9 } },
                'webgpu-f16': { failed: 'The GPU is out of memory.' },
              },
            },
          ],
        },
      ],
    };
    const [single, half] = figuresOf([scans]);
    expect(single.seen).toBe(
      '0.50 steps a second, 17.000 GB, 2 of 8 volumes at once, activations computed again',
    );
    expect([single.reached, half.reached, half.seen]).toEqual([true, false, 'The GPU is out of memory.']);
  });

  it('say how far curves are apart, an engine in each precision by itself', () => {
    const curve = (engine: string, precision: string, seed: number, losses: number[]) => ({
      ...{ engine, precision, seed, losses },
    });
    const wasm = [curve('wasm', 'f32', 1, [1, 1]), curve('wasm', 'f32', 2, [2, 2])];
    const results = [...wasm, curve('webgpu', 'f32', 1, [1, 1.5]), curve('webgpu', 'f16', 2, [5, 5])];
    expect(figuresOf([{ name: 'curves', results }])).toEqual([
      {
        figure: 'loss curves of webgpu-f32 beside wasm, 1 seed',
        goal: 'within the spread of 2 seeds, 1.0',
        seen: 'at most 0.25 apart',
        reached: true,
      },
      {
        figure: 'loss curves of webgpu-f16 beside wasm, 1 seed',
        goal: 'within the spread of 2 seeds, 1.0',
        seen: 'at most 3.0 apart',
        reached: false,
      },
    ]);
    expect(figuresOf([{ name: 'curves', results: [wasm[0]] }]), 'no spread is known').toEqual([]);
  });

  it('count networks', () => {
    const conformance = {
      name: 'conformance-f32',
      results: [{ of: 3, cases: [{ right: true }, { right: false }] }],
    };
    expect(figuresOf([conformance])[0]).toMatchObject({ goal: '3 of 3', seen: '1 of 3', reached: false });
    expect(figuresOf([])).toEqual([]);
  });
});
