// One loss curve: a network learns to tell heads of noise from those with a bright block, on one engine from one seed.
// `node curve.js --engine webgpu --precision f16 --seed 1 --size full --out FILE`
import { parseArgs } from 'node:util';
import { closeEngine, openEngine } from '../../src/core/engine/choose';
import { writeJson } from '../../src/core/files/whole';
import { Network } from '../../src/core/model/network';
import { networkSpec, type NetworkSpec } from '../../src/core/model/spec';
import { DEFAULT_TRAINING, type TrainingConfig } from '../../src/core/train/config';
import { fit } from '../../src/core/train/fit';
import { openGpu } from '../bench/gpu/gpu-in-use';
import { noiseHeads } from '../loss-curves/noise-heads';

interface Training {
  readonly spec: NetworkSpec;
  readonly side: number;
  readonly heads: number;
  readonly batch: number;
  readonly steps: number;
  readonly learningRate: number;
}

const SIZES: Readonly<Record<string, Training>> = {
  full: {
    spec: networkSpec({ arch: 'resnet18', geometry: 'paper' }),
    side: 48,
    heads: 64,
    batch: 8,
    steps: 200,
    learningRate: 1e-4,
  },
  tiny: {
    spec: networkSpec({ arch: 'resnet10', geometry: 'compact', width: 0.125 }),
    side: 12,
    heads: 8,
    batch: 4,
    steps: 6,
    learningRate: 3e-3,
  },
};

const { values } = parseArgs({
  options: {
    engine: { type: 'string', default: 'webgpu' },
    precision: { type: 'string', default: 'f32' },
    seed: { type: 'string', default: '1' },
    size: { type: 'string', default: 'full' },
    out: { type: 'string' },
  },
});
const { engine, precision, size, out } = values;
const training = SIZES[size];
if (
  !training ||
  !out ||
  (engine !== 'webgpu' && engine !== 'wasm') ||
  (precision !== 'f32' && precision !== 'f16')
)
  throw new Error(
    'Usage: curve.js [--engine webgpu|wasm] [--precision f32|f16] [--seed N] [--size full|tiny] --out FILE',
  );
const seed = Number(values.seed);

if (engine === 'webgpu') await openGpu({ precision });
else await openEngine({ engine: 'wasm', tune: true });
const losses: number[] = [];
const start = performance.now();
const save = (): Promise<void> =>
  writeJson(out, {
    engine,
    precision,
    seed,
    steps: training.steps,
    secondsPerStep: (performance.now() - start) / 1000 / losses.length,
    losses,
  });
await train(training, seed, losses);
await save();
await closeEngine();
process.exit(0);

async function train(
  { spec, side, heads, batch, steps, learningRate }: Training,
  from: number,
  into: number[],
): Promise<void> {
  const network = new Network(spec, from);
  const samples = noiseHeads(heads, 0, {
    sides: [side, side, side],
    block: Math.ceil(side / 4),
    margin: 0,
  });
  const config: TrainingConfig = {
    ...DEFAULT_TRAINING,
    epochs: Math.ceil((steps * batch) / heads),
    batchSize: batch,
    microBatch: batch,
    patience: 0,
    augmentation: { rotation: 0, scale: 0, flip: false, intensity: 0, noise: 0 },
    optimiser: { ...DEFAULT_TRAINING.optimiser, learningRate },
  };
  await fit(network, { train: samples, validation: [], leftRight: 0 }, config, from, {
    onEvent: (event) => {
      if (event.type === 'step' && into.length < steps) into.push(event.loss);
    },
    // What a limit of time cuts off has at least its epochs so far.
    onCheckpoint: save,
  });
  network.dispose();
}
