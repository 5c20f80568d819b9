import { describe, expect, it } from 'vitest';
import type { EngineMemory } from '../../../src/core/engine/engine';
import { InputError } from '../../../src/core/errors';
import { buildProgram } from '../../../src/core/model/program';
import { networkSpec } from '../../../src/core/model/spec';
import { DEFAULT_TRAINING } from '../../../src/core/train/config';
import { bytesOfStep, requireStepFits } from '../../../src/core/train/memory-need';

const GIB = 2 ** 30;
const engine = (atMost: number): EngineMemory => ({ inUse: 0, reserved: 0, peak: 0, atMost });
const program = buildProgram(networkSpec({ arch: 'resnet18' }), { fused: true });
const training = { ...DEFAULT_TRAINING, batchSize: 8, microBatch: 8 };
const shape = [96, 96, 96, 1] as const;

const refusal = (config = training, grid: readonly [number, number, number, number] = shape) => {
  try {
    requireStepFits(program, config, grid, engine(4 * GIB));
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    return (error as Error).message;
  }
  throw new Error('It fits.');
};

describe('the need of a step', () => {
  it('is said before a run', () => {
    expect(requireStepFits(program, training, shape, engine(4 * GIB))).toMatch(
      /^A training step needs about \d\.\d of 4\.0 GB\.$/,
    );
  });

  it('is said without a limit where a GPU does not tell its own', () => {
    expect(requireStepFits(program, training, shape, engine(Infinity))).toMatch(
      /^A training step needs about \d\.\d GB of the GPU\.$/,
    );
  });

  it('is not spoken of where the engine has no limit', () => {
    expect(requireStepFits(program, training, [500, 500, 500, 1], undefined)).toBeUndefined();
  });

  it('is refused with changes after which it does fit', () => {
    const grid = [160, 192, 192, 1] as const;
    const message = refusal(training, grid);
    expect(message).toMatch(
      /^A training step needs about \d+\.\d of 4\.0 GB\. It fits with --micro-batch \d \(\d\.\d+ GB\)/,
    );
    expect(message).toContain('a smaller grid than 160 x 192 x 192 (--shape, --spacing)');
    const part = Number(/--micro-batch (\d)/.exec(message)?.[1]);
    expect(bytesOfStep(program, { ...training, microBatch: part }, grid)).toBeLessThan(4 * GIB);
    expect(bytesOfStep(program, { ...training, microBatch: 2 * part }, grid) * 1.05).toBeGreaterThan(4 * GIB);
  });

  it('offers checkpointing where that is what helps', () => {
    const narrow = buildProgram(networkSpec({ arch: 'resnet50' }), { fused: true });
    const one = { ...training, batchSize: 1, microBatch: 1 };
    const plain = bytesOfStep(narrow, one, shape);
    const memory = engine(0.9 * plain);
    expect(() => requireStepFits(narrow, one, shape, memory)).toThrow(
      /It fits with --checkpoint-activations \(\d\.\d+ GB\);/,
    );
  });

  it('says so when nothing but a smaller problem helps', () => {
    expect(refusal({ ...training, batchSize: 1, microBatch: 1 }, [400, 400, 400, 1])).toMatch(
      /too much for this engine even for one volume at a time\. Use a smaller grid than 400 x 400 x 400/,
    );
  });
});
