import * as tf from '@tensorflow/tfjs-core';
import { unscale } from '../../src/core/engine/ops/unscale';
import { explainVolume } from '../../src/core/explain/explain-volume';
import { networkInput } from '../../src/core/model/input';
import { Network } from '../../src/core/model/network';
import { awaited } from '../../src/core/model/steps';
import { crossEntropy } from '../../src/core/train/loss';
import { Optimiser } from '../../src/core/train/optimiser';
import type { Volume } from '../../src/core/volume/volume';
import { specOf, type Case } from './cases';
import { parameter, uniform } from './generator';

/** Tensors by name, in PyTorch's layouts (inputs and their gradients channels-last), flat. */
export type Results = Map<string, Float32Array>;

const CLASS_WEIGHTS = [0.6, 1.7];

export interface ResultOptions {
  /** Gradients are of so many times the loss, and divided by it afterwards: for half precision. */
  readonly lossScale?: number;
  /** Changes input and parameters before they are used. */
  readonly change?: (values: Float32Array) => Float32Array;
}

/**
 * What the engine that is open makes of a case, under the names that torch_peer.py uses. `scales` are the powers of two,
 * by parameter, that the optimiser's moments are made with.
 */
export async function engineResults(
  given: Case,
  batch: readonly (readonly Volume[])[],
  scales: ReadonlyMap<string, number>,
  { lossScale = 1, change = (values) => values }: ResultOptions = {},
): Promise<Results> {
  const results: Results = new Map();
  const network = new Network(specOf(given), 0);
  for (const { name, shape } of network.weights.expected())
    network.weights.setFromBorder(name, change(parameter(given, name, shape)));
  const seen = batch.map((channels) => channels.map((one) => ({ ...one, data: change(one.data) })));
  const x = inputOf(seen, network);
  try {
    await evaluate(given, network, x, seen[0], results);
    if (given.thorough) await evaluationGradients(network, x, lossScale, results);
    if (given.optimiser) await train(given, network, x, scales, lossScale, results);
  } finally {
    x.dispose();
    network.dispose();
  }
  return results;
}

function inputOf(batch: readonly (readonly Volume[])[], network: Network): tf.Tensor5D {
  return tf.tidy(() => tf.concat(batch.map((channels) => networkInput(channels, network.spec))));
}

async function evaluate(
  given: Case,
  network: Network,
  x: tf.Tensor5D,
  first: readonly Volume[],
  results: Results,
): Promise<void> {
  results.set('evaluation/logits', await awaited(network.predictSteps(x)));
  for (const [layer, method, classIndex] of given.maps) {
    const request = { layer, method, classIndex, align: 'half-pixel' as const };
    const { raw, heat } = await explainVolume(network, first, first[0], request);
    results.set(`map/${layer} ${method} ${classIndex}`, raw.data);
    results.set(`placed/${layer} ${method} ${classIndex}`, heat.data);
  }
}

async function evaluationGradients(
  network: Network,
  x: tf.Tensor5D,
  lossScale: number,
  results: Results,
): Promise<void> {
  const { gradients, dx } = await stepGradients(network, x, 'running', lossScale);
  results.set('input/evaluation gradient', dx);
  for (const [name, gradient] of gradients) {
    results.set(`evaluation-gradient/${name}`, await awaited(network.weights.borderReads(name, gradient)));
    gradient.dispose();
  }
}

async function train(
  given: Case,
  network: Network,
  x: tf.Tensor5D,
  scales: ReadonlyMap<string, number>,
  lossScale: number,
  results: Results,
): Promise<void> {
  const { weights } = network;
  const { gradients, dx, logits, loss } = await stepGradients(network, x, 'batch', lossScale);
  results.set('training/logits', logits);
  results.set('training/loss', Float32Array.of(loss));
  results.set('input/gradient', dx);
  for (const [name, gradient] of gradients)
    results.set(`gradient/${name}`, await awaited(weights.borderReads(name, gradient)));

  const optimiser = optimiserOf(given, network, scales);
  try {
    optimiser.step(gradients, given.optimiser?.learningRate ?? 0);
    for (const [name, { shape, data }] of await weights.readBorder()) {
      if (!weights.names.includes(name)) {
        results.set(`running/${name}`, data);
        continue;
      }
      const before = parameter(given, name, shape);
      results.set(
        `change/${name}`,
        data.map((value, i) => value - before[i]),
      );
    }
    if (given.thorough)
      for (const [name, { data }] of await optimiser.readBorder()) {
        const [, moment, tensor] = /^optimizer\.(\w+)\.(.*)$/.exec(name) ?? [];
        results.set(`moment/${moment} ${tensor}`, data);
      }
  } finally {
    optimiser.dispose();
  }
}

interface StepGradients {
  /** In the engine's layout; the caller's. */
  readonly gradients: Map<string, tf.Tensor>;
  readonly dx: Float32Array;
  readonly logits: Float32Array;
  readonly loss: number;
}

/** Gradients of the class-weighted cross-entropy; in training mode, the running statistics move as well. */
async function stepGradients(
  network: Network,
  x: tf.Tensor5D,
  statistics: 'batch' | 'running',
  lossScale: number,
): Promise<StepGradients> {
  const pass = network.run(x, { statistics, keepFrom: 0 });
  const logits = (await pass.logits.data<'float32'>()).slice();
  const labels = Array.from({ length: x.shape[0] }, (_, n) => n % 2);
  const { loss, gradient } = crossEntropy(logits, labels, CLASS_WEIGHTS);
  network.updateRunning(pass.batchStatistics());
  const scaled = gradient.map((slope) => slope * lossScale);
  const dlogits = tf.tensor2d(scaled, [labels.length, CLASS_WEIGHTS.length]);
  const { parameters, value } = pass.backward(dlogits, { parameters: true, to: 0 });
  dlogits.dispose();
  if (!value) throw new Error('No gradient reached the input.');
  const dx = (await value.data<'float32'>()).map((slope) => slope / lossScale);
  if (lossScale !== 1) unscale(parameters.values(), lossScale).dispose();
  value.dispose();
  return { gradients: parameters, dx, logits, loss };
}

/** An optimiser in the middle of a training: its moments are generated, in proportion to the gradients. */
function optimiserOf(given: Case, network: Network, scales: ReadonlyMap<string, number>): Optimiser {
  if (!given.optimiser) throw new Error(`${given.name} has no optimiser.`);
  const optimiser = new Optimiser(given.optimiser, network.weights);
  const moment = (stored: string): Float32Array => {
    const [, kind, name] = /^optimizer\.(\w+)\.(.*)$/.exec(stored) ?? [];
    const scale = scales.get(name);
    if (scale === undefined) throw new Error(`There is no scale for the moments of ${name}.`);
    const size = network.weights.info(name).shape.reduce((product, n) => product * n, 1);
    const [low, high] = kind === 'v' ? [scale ** 2 / 2, 2 * scale ** 2] : [-2 * scale, 2 * scale];
    return uniform(`${given.seed}/${kind}/${name}`, size, low, high);
  };
  optimiser.restore(moment, (given.optimiser.step ?? 1) - 1);
  return optimiser;
}
