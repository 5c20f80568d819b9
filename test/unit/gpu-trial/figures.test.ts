import { describe, expect, it } from 'vitest';
import { shareOfCeiling } from '../../../scripts/bench/gpu/share.mjs';
import { agreementOfCurves, distance, smoothed } from '../../../scripts/gpu-trial/curve-distance.mjs';
import { figuresOf } from '../../../scripts/gpu-trial/figures.mjs';

const curve = (engine: string, precision: string, seed: number, losses: number[]) => ({
  engine,
  precision,
  seed,
  losses,
});

describe('loss curves', () => {
  it('are smoothed over the steps just before, and compared where both have steps', () => {
    expect(smoothed([4, 2, 6, 0], 2)).toEqual([4, 3, 4, 3]);
    expect(distance([1, 1, 1, 1], [2, 2, 2], 1)).toBe(1);
    expect(distance([], [1])).toBeNaN();
  });

  it('agree where an engine is no further from the reference than its own seeds are from each other', () => {
    const wasm = [curve('wasm', 'f32', 1, [1, 1]), curve('wasm', 'f32', 2, [2, 2])];
    const curves = [
      ...wasm,
      curve('webgpu', 'f32', 1, [1, 1]),
      curve('webgpu', 'f32', 2, [2, 1.5]),
      curve('webgpu', 'f16', 1, [1, 1]),
      curve('webgpu', 'f16', 2, [5, 5]),
    ];
    const agreement = agreementOfCurves(curves);
    expect(agreement?.spread).toBe(1);
    expect(agreement?.engines['webgpu-f32']).toMatchObject({ seeds: 2, agrees: true });
    expect(agreement?.engines['webgpu-f16']).toMatchObject({ seeds: 2, largest: 3, agrees: false });
    expect(agreementOfCurves(curves.filter(({ engine }) => engine !== 'wasm'))).toBeUndefined();
  });

  it('that are no numbers any more agree with nothing, whatever comes behind them', () => {
    const curves = [
      curve('wasm', 'f32', 1, [1]),
      curve('wasm', 'f32', 2, [2]),
      curve('webgpu', 'f16', 1, [NaN]),
      curve('webgpu', 'f16', 2, [2]),
    ];
    expect(agreementOfCurves(curves)?.engines['webgpu-f16'].agrees).toBe(false);
  });
});

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

  it('count networks', () => {
    const conformance = {
      name: 'conformance-f32',
      results: [{ of: 3, cases: [{ right: true }, { right: false }] }],
    };
    expect(figuresOf([conformance])[0]).toMatchObject({ goal: '3 of 3', seen: '1 of 3', reached: false });
    expect(figuresOf([])).toEqual([]);
  });
});
