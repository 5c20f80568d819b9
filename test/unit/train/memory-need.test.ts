import { describe, expect, it } from 'vitest';
import type { EngineMemory } from '../../../src/core/engine/engine';
import { InputError } from '../../../src/core/errors';
import { buildProgram } from '../../../src/core/model/program';
import { networkSpec } from '../../../src/core/model/spec';
import type { SampleShape } from '../../../src/core/train/augment';
import { DEFAULT_TRAINING, type TrainingConfig } from '../../../src/core/train/config';
import { bytesOfStep, fitStep, remarksOnParts, type StepNeed } from '../../../src/core/train/memory-need';

const GIB = 2 ** 30;
const memoryOf = (atMost: number, largestTensor?: number): EngineMemory => ({
  inUse: 0,
  reserved: 0,
  peak: 0,
  atMost,
  largestTensor,
});
const program = buildProgram(networkSpec({ arch: 'resnet18' }), { fused: true });
const training: TrainingConfig = { ...DEFAULT_TRAINING, batchSize: 8, microBatch: 8 };
const asItIs: TrainingConfig = { ...training, fixed: ['microBatch', 'checkpointActivations'] };
const shape = [96, 96, 96, 1] as const;

const fitted = (need: Partial<StepNeed>) =>
  fitStep({ program, training, shape, memory: memoryOf(4 * GIB), ...need });

function refusal(need: Partial<StepNeed>): string {
  try {
    fitted(need);
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    return (error as Error).message;
  }
  throw new Error('It fits.');
}

describe('the need of a step', () => {
  it('is said before a run, and a step that fits stays as it is', () => {
    const { said, training: config } = fitted({});
    expect(said).toEqual([expect.stringMatching(/^A training step needs about \d\.\d of 4\.0 GB\.$/)]);
    expect(config).toEqual(training);
  });

  it('says what it leaves: so much may be borrowed beyond it', () => {
    const { spare } = fitted({});
    expect(spare).toBeCloseTo(4 * GIB - 1.05 * bytesOfStep(program, training, shape), 0);
    expect(fitted({ memory: memoryOf(5 * GIB) }).spare).toBeCloseTo(spare + GIB, 0);
  });

  it('is never nothing, however small it is', () => {
    const narrow = networkSpec({ arch: 'resnet10', geometry: 'compact', width: 0.125 });
    const { said } = fitted({ program: buildProgram(narrow, { fused: true }), shape: [24, 32, 24, 1] });
    expect(said).toEqual(['A training step needs about 0.01 of 4.0 GB.']);
  });

  it('is said without a limit where a GPU does not tell its own', () => {
    expect(fitted({ memory: memoryOf(Infinity) }).said).toEqual([
      expect.stringMatching(/^A training step needs about \d\.\d GB of the GPU\.$/),
    ]);
  });

  it('is not spoken of where the engine has no limit', () => {
    expect(fitted({ shape: [500, 500, 500, 1], memory: undefined })).toEqual({
      training,
      said: [],
      spare: Infinity,
    });
  });
});

describe('a step that is to stay as it is and does not fit', () => {
  it('is refused with changes after which it does fit', () => {
    const grid = [160, 192, 192, 1] as const;
    const message = refusal({ training: asItIs, shape: grid });
    expect(message).toMatch(
      /^A training step needs about \d+\.\d of 4\.0 GB\. It fits with --micro-batch \d \(\d\.\d+ GB\)/,
    );
    expect(message).toContain('a smaller grid than 160 x 192 x 192 (--shape, --spacing)');
    const part = Number(/--micro-batch (\d)/.exec(message)?.[1]);
    expect(bytesOfStep(program, { ...training, microBatch: part }, grid)).toBeLessThan(4 * GIB);
    expect(bytesOfStep(program, { ...training, microBatch: 2 * part }, grid) * 1.05).toBeGreaterThan(4 * GIB);
  });

  it('is offered checkpointing where that is what helps', () => {
    const deep = buildProgram(networkSpec({ arch: 'resnet50' }), { fused: true });
    const one: TrainingConfig = { ...asItIs, batchSize: 1, microBatch: 1 };
    const plain = bytesOfStep(deep, one, shape);
    expect(refusal({ program: deep, training: one, memory: memoryOf(0.9 * plain) })).toMatch(
      /It fits with --checkpoint-activations \(\d\.\d+ GB\);/,
    );
  });

  it('is refused whatever may be changed when nothing but a smaller problem helps', () => {
    expect(refusal({ shape: [400, 400, 400, 1] })).toMatch(
      /too much for this engine even for one volume at a time\. Use a smaller grid than 400 x 400 x 400/,
    );
  });

  it('says so of a tensor that is too large for one piece of memory', () => {
    expect(refusal({ training: asItIs, memory: memoryOf(Infinity, GIB / 4) })).toMatch(
      /^A training step needs about \d\.\d GB of the GPU, and its largest tensor 0\.42 GB where 0\.25 GB is the most\. It fits with --micro-batch 4/,
    );
  });
});

describe('a step that may be changed', () => {
  const whole = bytesOfStep(program, training, shape);
  const checkpointed = bytesOfStep(program, { ...training, checkpointActivations: true }, shape);
  // Enough for parts of 4, and not for the whole.
  const half =
    1.06 * bytesOfStep(program, { ...training, microBatch: 4, checkpointActivations: true }, shape);

  it('is checkpointed before a batch is cut up: that changes no bit', () => {
    const { training: config, said } = fitted({ memory: memoryOf(1.06 * checkpointed) });
    expect(config).toEqual({ ...training, checkpointActivations: true });
    expect(said).toEqual([expect.stringMatching(/ GB, with checkpointed activations\.$/)]);
    expect(checkpointed).toBeLessThan(0.95 * whole);
    expect(half).toBeLessThan(checkpointed);
  });

  it('is cut into the largest parts that fit, and what that means is said', () => {
    const { training: config, said } = fitted({ memory: memoryOf(half) });
    expect(config).toMatchObject({ batchSize: 8, microBatch: 4 });
    expect(said).toEqual([
      expect.stringMatching(/^A training step needs about \d\.\d+ of \d\.\d GB, in micro-batches of 4/),
      'Batches of 8 are computed in micro-batches of 4, whose gradients add up. Batch normalisation goes by 4 volumes at a time, not by the whole batch: another gradient, and running statistics that move 2 times a step.',
    ]);
  });

  it('keeps what was asked for by name', () => {
    const memory = memoryOf(half);
    expect(refusal({ memory, training: { ...training, fixed: ['microBatch'] } })).toMatch(
      /It fits with .*--micro-batch/,
    );
    const asked = { ...training, microBatch: 2, checkpointActivations: true };
    expect(fitted({ memory, training: asked }).training).toEqual(asked);
    const plain: TrainingConfig = { ...training, fixed: ['checkpointActivations'] };
    const four = 1.06 * bytesOfStep(program, { ...training, microBatch: 4 }, shape);
    expect(fitted({ memory: memoryOf(four), training: plain }).training).toEqual({ ...plain, microBatch: 4 });
  });

  it('is cut up where a tensor is too large for one piece of memory, however much there is', () => {
    expect(fitted({ memory: memoryOf(Infinity, GIB / 4) }).training).toEqual({ ...training, microBatch: 4 });
  });
});

describe('the remark on micro-batches', () => {
  it('is made where a batch is computed in parts, whoever chose them', () => {
    expect(remarksOnParts({ batchSize: 8, microBatch: 8 })).toEqual([]);
    expect(remarksOnParts({ batchSize: 3, microBatch: 1 })).toEqual([
      expect.stringMatching(/micro-batches of 1, .* by one volume at a time, .* move 3 times a step\.$/),
    ]);
  });
});

describe('batches of 8 volumes of 160 x 256 x 256 on a GPU of 24 GB', () => {
  const grid: SampleShape = [160, 256, 256, 1];

  // In one piece a driver grants less than 4 GiB, or less than 2.
  it.each([
    ['resnet18', 'paper', { largest: 4, microBatch: 4, checkpointActivations: false }],
    ['resnet18', 'paper', { largest: 2, microBatch: 2, checkpointActivations: false }],
    ['resnet18', 'medicalnet', { largest: 4, microBatch: 8, checkpointActivations: false }],
    ['resnet18', 'medicalnet', { largest: 2, microBatch: 4, checkpointActivations: false }],
    ['resnet50', 'paper', { largest: 4, microBatch: 4, checkpointActivations: true }],
    ['resnet50', 'paper', { largest: 2, microBatch: 2, checkpointActivations: false }],
    ['resnet50', 'medicalnet', { largest: 4, microBatch: 8, checkpointActivations: true }],
    ['resnet50', 'medicalnet', { largest: 2, microBatch: 4, checkpointActivations: true }],
  ] as const)('%s %s trains by %o', (arch, geometry, { largest, ...parts }) => {
    const deep = buildProgram(networkSpec({ arch, geometry }), { fused: true });
    const memory = memoryOf(24 * GIB, largest * GIB - 4);
    const { training: config } = fitStep({ program: deep, training, shape: grid, memory, engine: 'webgpu' });
    expect(config).toEqual({ ...training, ...parts });
    expect(bytesOfStep(deep, config, grid, 'webgpu') * 1.15).toBeLessThan(24 * GIB);
  });
});
