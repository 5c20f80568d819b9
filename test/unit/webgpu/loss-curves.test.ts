import { describe, expect, it } from 'vitest';
import { agreements, curveOf, type Curve } from '../../../scripts/loss-curves/curves';
import { haveSoftwareGpu, useSoftwareGpu } from '../../software-gpu';

const STEPS = 24;

describe.runIf(haveSoftwareGpu('lavapipe'))('loss curves', () => {
  it('of the GPU in half precision are nearer to the processor than seeds are to each other', async () => {
    useSoftwareGpu('lavapipe');
    const curves: Curve[] = [];
    for (const seed of [1, 2])
      curves.push(await curveOf('wasm', { engine: 'wasm', threads: 1 }, seed, STEPS));
    // Single precision is held to 1e-4, step by step, in training.test.ts.
    curves.push(await curveOf('webgpu f16', { engine: 'webgpu', precision: 'f16' }, 1, STEPS));
    for (const { losses, engine } of curves) {
      expect(losses, engine).toHaveLength(STEPS);
      expect(losses.every(Number.isFinite), engine).toBe(true);
    }
    const [{ apart, spread }] = agreements(curves, 'wasm');
    expect(apart).toBeLessThan(spread / 2);
    // Else it was not half precision.
    expect(apart).toBeGreaterThan(1e-4);
  });
});

describe('the distance of curves', () => {
  const curve = (engine: string, seed: number, loss: number): Curve => ({
    engine,
    seed,
    losses: new Array<number>(30).fill(loss),
    heldOut: 0,
    skipped: 0,
  });

  it('is the largest between engines and the smallest between seeds', () => {
    const curves = [
      ...[1, 2, 4].map((loss, at) => curve('wasm', at, loss)),
      ...[1.1, 2, 3.7].map((loss, at) => curve('webgpu', at, loss)),
    ];
    const [{ engine, apart, spread }] = agreements(curves, 'wasm');
    expect(engine).toBe('webgpu');
    expect(apart).toBeCloseTo(0.3, 10);
    expect(spread).toBeCloseTo(1, 10);
  });
});
