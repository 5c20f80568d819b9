import { describe, expect, it } from 'vitest';
import { agreementOf, distance, smoothed } from '../../../scripts/loss-curves/curve-distance.mjs';
import { curveOf, type Curve } from '../../../scripts/loss-curves/curves';
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
    const { spread, engines } = agreementOf(curves)!;
    const [{ apart }] = engines;
    expect(apart).toBeLessThan(spread / 2);
    // Else it was not half precision.
    expect(apart).toBeGreaterThan(1e-4);
  });
});

describe('the distance of curves', () => {
  const curve = (engine: string, seed: number, loss: number) => ({
    ...{ engine, seed, losses: new Array<number>(30).fill(loss) },
  });

  it('goes by means over neighbouring steps, as far as both curves have steps', () => {
    expect(smoothed([4, 2, 6, 0], 2)).toEqual([3, 4, 3]);
    expect(smoothed([4, 2], 20)).toEqual([3]);
    expect(distance([1, 1, 1, 9], [2, 2, 2], 1)).toBe(1);
    expect(distance([0, 0], [3, 4], 1)).toBeCloseTo(Math.sqrt(12.5), 10);
    expect(distance([], [1])).toBeNaN();
  });

  it('is the largest between engines and the smallest between seeds', () => {
    const curves = [
      ...[1, 2, 4].map((loss, at) => curve('wasm', at, loss)),
      ...[1.1, 2, 3.7].map((loss, at) => curve('webgpu', at, loss)),
    ];
    const { spread, engines } = agreementOf(curves)!;
    expect(engines).toMatchObject([{ engine: 'webgpu', seeds: 3, agrees: true }]);
    expect(engines[0].apart).toBeCloseTo(0.3, 10);
    expect(spread).toBeCloseTo(1, 10);
    expect(agreementOf(curves.slice(2)), 'one seed has no spread').toBeUndefined();
  });

  it('of what is no number any more agrees with nothing, whatever comes behind it', () => {
    const curves = [
      ...[1, 2].map((loss, at) => curve('wasm', at, loss)),
      ...[NaN, 2].map((loss, at) => curve('webgpu', at, loss)),
    ];
    expect(agreementOf(curves)!.engines[0].agrees).toBe(false);
  });
});
