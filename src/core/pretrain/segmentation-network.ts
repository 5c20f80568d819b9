import type * as tf from '@tensorflow/tfjs-core';
import { updateRunning } from '../model/network';
import { Pass, type BatchStatistics, type PassOptions } from '../model/pass';
import type { Program } from '../model/program';
import { buildSegmentationProgram, DECODER_TENSOR, type DecoderSpec } from '../model/segmentation-program';
import type { NetworkSpec } from '../model/spec';
import { read } from '../engine/reading';
import { atOnce, type Steps } from '../model/steps';
import { NetworkWeights, type BorderTensor } from '../model/weights-of-network';
import { Random } from '../random';

/** Spread of a fresh head's weights: its scores begin at the tasks' priors. */
const HEAD_SD = 0.01;

/** An encoder with a decoder and a head per task, and its weights. Owns tensors: dispose it. */
export class SegmentationNetwork {
  readonly program: Program;
  readonly weights: NetworkWeights;

  /** Freshly initialised from the seed; the encoder's values are those of the classifier with this seed. */
  constructor(
    readonly spec: NetworkSpec,
    readonly decoder: DecoderSpec,
    seed: number,
  ) {
    this.program = buildSegmentationProgram(spec, decoder);
    this.weights = new NetworkWeights(this.program, seed);
    const { shape } = this.weights.info('head.weight');
    const random = Random.seeded(seed, 'initialise', 'head.weight');
    const values = new Float32Array(shape[0] * shape[1]).map(() => random.normal(0, HEAD_SD));
    this.weights.setFromBorder('head.weight', values);
    this.setPriors(decoder.tasks.map(() => 0.5));
  }

  /** Lets every head begin by saying how frequent its structure is (share of voxels): the bias is the share's logit. */
  setPriors(shares: readonly number[]): void {
    const logit = (share: number): number => {
      const p = Math.min(0.99, Math.max(1e-4, share));
      return Math.log(p / (1 - p));
    };
    this.weights.setFromBorder('head.bias', Float32Array.from(shares, logit));
  }

  /** Runs a batch [N, D, H, W, C]; the output holds logits [N, D, H, W, tasks]. Dispose the pass, or run it backward. */
  run(x: tf.Tensor5D, options: PassOptions): Pass {
    return atOnce(Pass.forward(this.program, this.weights, x, options));
  }

  /** Logits of a batch in evaluation mode, row-major [N, D, H, W, tasks]. */
  predict(x: tf.Tensor5D): Float32Array {
    return atOnce(this.predictSteps(x));
  }

  /** {@link predict}, step by step. */
  *predictSteps(x: tf.Tensor5D): Steps<Float32Array> {
    const pass = yield* Pass.forward(this.program, this.weights, x, { statistics: 'running' });
    try {
      return (yield* read(pass.output)).slice();
    } finally {
      pass.dispose();
    }
  }

  updateRunning(batch: ReadonlyMap<string, BatchStatistics>): void {
    updateRunning(this.weights, batch);
  }

  /** What a classifier can start from: the encoder's tensors with PyTorch's names and layouts. */
  async encoderTensors(): Promise<Map<string, BorderTensor>> {
    return new Map([...(await this.weights.readBorder())].filter(([name]) => !DECODER_TENSOR.test(name)));
  }

  dispose(): void {
    this.weights.dispose();
  }
}
