import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { closeEngine, openEngine } from '../../../src/core/engine/choose';
import { InputError } from '../../../src/core/errors';
import { saveNetwork } from '../../../src/core/model/checkpoint';
import { Network } from '../../../src/core/model/network';
import { Pass } from '../../../src/core/model/pass';
import { networkSpec, type NetworkSpec } from '../../../src/core/model/spec';
import { ENCODER_STAGES, lastFrozenValue, stageOf, type Stage } from '../../../src/core/model/stages';
import { Random } from '../../../src/core/random';
import { DEFAULT_TRAINING, parseTraining, type TrainingConfig } from '../../../src/core/train/config';
import {
  describeFineTuning,
  frozenAt,
  NO_FINE_TUNING,
  rateFactor,
  stagesNamed,
  type FineTuning,
} from '../../../src/core/train/fine-tuning';
import { fit, trainStep } from '../../../src/core/train/fit';
import { Optimiser } from '../../../src/core/train/optimiser';
import { stack, type Sample } from '../../../src/core/train/sample';
import { havePython, python, ROOT } from '../../peers';

const SPEC = networkSpec({ arch: 'resnet10', geometry: 'compact', width: 1 / 8 });
const SHAPE = [12, 14, 10, 1] as const;
const PLAIN: TrainingConfig = {
  ...DEFAULT_TRAINING,
  epochs: 4,
  batchSize: 4,
  microBatch: 4,
  optimiser: { kind: 'sgd', learningRate: 0.05, momentum: 0.9, nesterov: false, weightDecay: 1e-3 },
  augmentation: { rotation: 0, scale: 0, flip: false, intensity: 0, noise: 0 },
  patience: 0,
};

let folder: string;
beforeAll(async () => {
  await openEngine({ threads: 1 });
  folder = mkdtempSync(join(tmpdir(), 'fcd-fine-tuning-'));
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await closeEngine();
});

/** Noise; patients have a bright corner. */
function heads(count: number): Sample[] {
  return Array.from({ length: count }, (_, n) => {
    const random = Random.seeded(8, 'head', n);
    const label = n % 2 === 0 ? 1 : 0;
    const size = SHAPE[0] * SHAPE[1] * SHAPE[2];
    const data = Float32Array.from(
      { length: size },
      (__, at) => random.normal() + (label && at < 200 ? 2 : 0),
    );
    return { participantId: `h${n}`, source: `h${n}`, label, data, shape: SHAPE };
  });
}

/** A network whose running statistics have seen something. */
function network(spec: NetworkSpec = SPEC): Network {
  const made = new Network(spec, 7);
  const random = Random.seeded(7, 'statistics');
  for (const [name, channels] of made.program.norms) {
    const some = (draw: () => number) => Float32Array.from({ length: channels }, draw);
    made.weights.setFromBorder(
      `${name}.running_mean`,
      some(() => random.normal(0, 0.2)),
    );
    made.weights.setFromBorder(
      `${name}.running_var`,
      some(() => random.uniform(0.5, 2)),
    );
  }
  return made;
}

function values(of: Network): Map<string, Float32Array> {
  return new Map([...of.weights.toBorder()].map(([name, { data }]) => [name, data.slice()]));
}

const frozen = (...stages: Stage[]): ReadonlySet<Stage> => new Set(stages);
const tuned = (given: Partial<FineTuning>): FineTuning => ({ ...NO_FINE_TUNING, ...given });

describe('the parts of a network', () => {
  it.each(['resnet18', 'resnet50'] as const)('cover every parameter and layer of a %s', (arch) => {
    const { program, weights, ...made } = new Network(networkSpec({ arch, width: 1 / 8 }), 'zeros');
    const parts = new Set(weights.names.map(stageOf));
    expect([...parts]).toEqual([...ENCODER_STAGES, 'head']);
    expect(weights.names.filter((name) => stageOf(name) === 'head')).toEqual(['fc.weight', 'fc.bias']);
    expect(program.layers.get('layer2')).toBe(lastFrozenValue(program, frozen('stem', 'layer1', 'layer2')));
    // What is frozen behind something that learns does not end the backward pass.
    expect(lastFrozenValue(program, frozen('layer1', 'layer2'))).toBe(0);
    weights.dispose();
    expect(made.spec.arch).toBe(arch);
  });

  it('thaw in turns, the deepest first, by the epoch alone', () => {
    const plan = tuned({ freeze: ['stem', 'layer1', 'layer3'], unfreezeEvery: 2 });
    expect([0, 1, 2, 3, 4, 6, 100].map((epoch) => [...frozenAt(plan, epoch)])).toEqual([
      ['layer3', 'layer1', 'stem'],
      ['layer3', 'layer1', 'stem'],
      ['layer1', 'stem'],
      ['layer1', 'stem'],
      ['stem'],
      [],
      [],
    ]);
    expect([...frozenAt({ ...plan, unfreezeEvery: 0 }, 100)]).toEqual(['layer3', 'layer1', 'stem']);
  });

  it('learn at rates of their own', () => {
    const plan = tuned({ encoderFactor: 0.1, decayPerStage: 0.5 });
    expect(rateFactor(plan, 'head')).toBe(1);
    expect(ENCODER_STAGES.map((stage) => rateFactor(plan, stage))).toEqual([
      0.00625, 0.0125, 0.025, 0.05, 0.1,
    ]);
  });

  it('are named on the command line; what is no part is refused with those that are', () => {
    expect(stagesNamed('layer1, stem')).toEqual(['stem', 'layer1']);
    expect(stagesNamed('encoder')).toEqual([...ENCODER_STAGES]);
    expect(() => stagesNamed('stem,fc')).toThrow(InputError);
    expect(() => stagesNamed('stem,fc')).toThrow(/no part "fc".*stem, layer1, layer2, layer3, layer4/);
    const config = (fineTuning: object): unknown => ({
      ...PLAIN,
      fineTuning: { ...NO_FINE_TUNING, ...fineTuning },
    });
    expect(parseTraining(config({ freeze: ['stem'] }), 'file').fineTuning?.freeze).toEqual(['stem']);
    for (const wrong of [
      { freeze: ['head'] },
      { freeze: ['stem', 'stem'] },
      { encoderFactor: 0 },
      { decayPerStage: 2 },
    ])
      expect(() => parseTraining(config(wrong), 'file'), JSON.stringify(wrong)).toThrow(/file: "fineTuning/);
  });

  it('are told in sentences', () => {
    expect(describeFineTuning(NO_FINE_TUNING, 5)).toEqual([]);
    expect(describeFineTuning(tuned({ freeze: ['stem', 'layer1'], unfreezeEvery: 3 }), 5)[0]).toMatch(
      /^stem, layer1 are frozen and one of them begins to learn after every 3 epochs, the deepest first \(stem to the end\)\. A frozen part keeps its weights and the running statistics/,
    );
    expect(describeFineTuning(tuned({ encoderFactor: 0.01 }), 5)).toEqual([
      "Learning rates as shares of the classifier's: stem 0.01, layer1 0.01, layer2 0.01, layer3 0.01, layer4 0.01.",
    ]);
  });
});

describe('a frozen part', () => {
  it('keeps its weights and running statistics to the bit; everything else learns', async () => {
    const of = network();
    const before = values(of);
    const config = { ...PLAIN, fineTuning: tuned({ freeze: ['stem', 'layer1', 'layer3'] }) };
    await fit(of, { train: heads(8), validation: [], leftRight: 0 }, config, 1, {
      onEvent: () => {},
      onCheckpoint: () => Promise.resolve(),
    });
    for (const [name, data] of values(of)) {
      const kept = config.fineTuning.freeze.some((stage) => stage === stageOf(name));
      expect(
        data.every((value, at) => Object.is(value, before.get(name)![at])),
        name,
      ).toBe(kept);
    }
    of.dispose();
  });

  it.each([
    { arch: 'resnet10', shortcut: 'B', geometry: 'compact' },
    { arch: 'resnet18', shortcut: 'A', geometry: 'paper' },
    { arch: 'resnet50', shortcut: 'B', geometry: 'paper' },
  ] as const)(
    'normalises by its running statistics; what learns gets the gradient it had ($arch)',
    (which) => {
      // With running statistics everywhere, freezing changes no other gradient, whichever parts are frozen.
      const of = network(networkSpec({ ...which, width: 1 / 8 }));
      const x = tf.randomNormal([2, 17, 16, 15, 1], 0, 1, 'float32', 3) as tf.Tensor5D;
      const dlogits = tf.tensor2d([0.3, -0.3, -0.2, 0.2], [2, 2]);
      const gradients = (
        parts: ReadonlySet<Stage>,
        statistics: 'batch' | 'running',
        checkpointActivations = false,
      ): Map<string, tf.Tensor> => {
        const keepFrom = lastFrozenValue(of.program, parts);
        const pass = of.run(x, { statistics, keepFrom, frozen: parts, checkpointActivations });
        return pass.backward(dlogits, { parameters: true }).parameters;
      };
      const all = gradients(frozen(), 'running');
      for (const parts of [
        frozen('stem'),
        frozen('layer2'),
        frozen('stem', 'layer1', 'layer2', 'layer3'),
        frozen(...ENCODER_STAGES),
      ])
        for (const checkpointActivations of [false, true]) {
          const some = gradients(parts, 'running', checkpointActivations);
          const learning = of.weights.names.filter((name) => !parts.has(stageOf(name)));
          expect([...some.keys()].sort()).toEqual([...learning].sort());
          for (const [name, gradient] of some)
            expect(gradient.dataSync(), `${name}, ${[...parts].join()} frozen`).toEqual(
              all.get(name)!.dataSync(),
            );
          tf.dispose([...some.values()]);
        }
      // All of the encoder frozen is evaluation, also in training.
      const evaluated = gradients(frozen(...ENCODER_STAGES), 'batch');
      expect(evaluated.get('fc.weight')!.dataSync()).toEqual(all.get('fc.weight')!.dataSync());
      tf.dispose([x, dlogits, ...all.values(), ...evaluated.values()]);
      of.dispose();
    },
  );

  it('costs no backward pass where nothing before it learns, and leaves no tensors behind', () => {
    const of = network();
    const x = stack(
      heads(2).map(({ data }) => data),
      SHAPE,
    );
    const before = tf.memory().numTensors;
    const layers = (parts: ReadonlySet<Stage>): string[] => {
      const keepFrom = lastFrozenValue(of.program, parts);
      const pass = of.run(x, { statistics: 'batch', keepFrom, frozen: parts });
      const dlogits = tf.tensor2d([0.3, -0.3, -0.2, 0.2], [2, 2]);
      const steps = pass.backwardSteps(dlogits, { parameters: true });
      const names: string[] = [];
      for (let next = steps.next(); ; next = steps.next()) {
        if (!next.done) {
          if ('layer' in next.value) names.push(next.value.layer);
        } else {
          tf.dispose([dlogits, ...next.value.parameters.values()]);
          return names;
        }
      }
    };
    expect(layers(frozen())).toContain('conv1');
    expect(layers(frozen('stem', 'layer1', 'layer2', 'layer3'))).toEqual([
      ...['fc', 'avgpool', 'layer4.0.bn2', 'layer4.0.conv2', 'layer4.0.bn1', 'layer4.0.conv1'],
    ]);
    expect(layers(frozen(...ENCODER_STAGES))).toEqual(['fc']);
    expect(tf.memory().numTensors).toBe(before);
    x.dispose();
    of.dispose();
  });

  it('is held no longer than a prediction needs it', () => {
    const of = network();
    const x = tf.zeros([1, ...SHAPE]) as tf.Tensor5D;
    const held = (parts: ReadonlySet<Stage>): number => {
      const before = tf.memory().numTensors;
      const pass = of.run(x, {
        statistics: 'batch',
        keepFrom: lastFrozenValue(of.program, parts),
        frozen: parts,
      });
      const tensors = tf.memory().numTensors - before;
      expect(pass).toBeInstanceOf(Pass);
      pass.dispose();
      return tensors;
    };
    // Its output, the average and the logits, and a shape or two; not the 30 of a training pass.
    expect(held(frozen(...ENCODER_STAGES))).toBe(3);
    expect(held(frozen())).toBeGreaterThan(20);
    x.dispose();
    of.dispose();
  });
});

describe.skipIf(!havePython('torch'))(
  'fine-tuning as PyTorch does it with parameter groups [needs python3-torch]',
  () => {
    it.each(['sgd', 'adam', 'adamw'] as const)(
      '%s: rates by part, frozen parts, one that begins to learn',
      async (kind) => {
        const rate = 0.02;
        const fineTuning = tuned({
          encoderFactor: 0.5,
          decayPerStage: 0.6,
          freeze: ['stem', 'layer1', 'layer2'],
          unfreezeEvery: 1,
        });
        const optimiserConfig =
          kind === 'sgd'
            ? ({ kind, learningRate: rate, momentum: 0.9, nesterov: false, weightDecay: 1e-3 } as const)
            : // A large epsilon: else the sign of a gradient that is nearly zero would decide.
              ({
                kind,
                learningRate: rate,
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-3,
                weightDecay: 1e-2,
              } as const);
        const of = network();
        const weights = join(folder, `${kind}.safetensors`);
        const images = join(folder, 'images.bin');
        await saveNetwork(weights, of, {});
        const before = values(of);
        const all = heads(8);
        writeFileSync(images, Buffer.concat(all.map(({ data }) => Buffer.from(data.buffer))));
        const optimiser = new Optimiser(optimiserConfig, of.weights);
        const steps: { frozen: Stage[]; heads: number[]; labels: number[] }[] = [];
        for (const epoch of [0, 1, 2])
          for (const batch of [
            [0, 1, 2, 3],
            [4, 5, 6, 7],
          ]) {
            const stages = frozenAt(fineTuning, epoch);
            steps.push({ frozen: [...stages], heads: batch, labels: batch.map((n) => all[n].label) });
            await trainStep(
              of,
              optimiser,
              batch.map((n) => all[n]),
              0,
              { ...PLAIN, optimiser: optimiserConfig },
              [1, 1],
              rate,
              () => Random.seeded(0, 'none'),
              { frozen: stages, factorOf: (stage) => rateFactor(fineTuning, stage) },
            );
          }
        expect(optimiser.partSteps).toEqual({ stem: 0, layer1: 2, layer2: 4 });
        optimiser.dispose();
        const factors = Object.fromEntries(
          [...ENCODER_STAGES, 'head' as const].map((stage) => [stage, rateFactor(fineTuning, stage)]),
        );
        const expected = JSON.parse(
          python(
            readFileSync(join(ROOT, 'test/unit/train/torch_fine_tuning.py'), 'utf8'),
            [],
            JSON.stringify({ weights, images, shape: SHAPE, optimiser: kind, rate, factors, steps }),
          ),
        ) as Record<string, number[]>;
        const after = values(of);
        of.dispose();
        for (const [name, data] of after) {
          const start = before.get(name)!;
          const moved = Math.max(...expected[name].map((value, at) => Math.abs(value - start[at])));
          if (stageOf(name) === 'stem') expect([...data], name).toEqual([...start]);
          const error = Math.max(...data.map((value, at) => Math.abs(value - expected[name][at])));
          expect(error, `${name}, which moved by ${moved}`).toBeLessThanOrEqual(5e-3 * moved);
        }
      },
    );
  },
);
