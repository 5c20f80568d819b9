import * as tf from '@tensorflow/tfjs-core';
import { InputError } from '../../src/core/errors';
import { valueShapes } from '../../src/core/model/flops';
import type { Program } from '../../src/core/model/program';
import type { SampleShape } from '../../src/core/train/augment';
import type { TrainingConfig } from '../../src/core/train/config';
import { bytesOfStep } from '../../src/core/train/memory-need';
import type { GpuBackend } from '../../src/core/engine/webgpu/backend';

/** What lies between what is given away at once and what is held, free buffers included. */
const SPARE = 1.25;

/**
 * The largest part of a batch whose step holds at most so many bytes, without checkpointed activations where that will
 * do, and none of whose tensors is larger than a buffer of this GPU can be.
 * @throws InputError where a single volume is too much
 */
export function fittingParts(
  program: Program,
  config: TrainingConfig,
  shape: SampleShape,
  memory: number,
): TrainingConfig {
  const parts: number[] = [];
  for (let part = config.batchSize; part >= 1; part--) if (config.batchSize % part === 0) parts.push(part);
  for (const checkpointActivations of config.checkpointActivations ? [true] : [false, true])
    for (const microBatch of parts) {
      const tried = { ...config, microBatch, checkpointActivations };
      const fits = SPARE * bytesOfStep(program, tried, shape) <= memory;
      if (fits && largestTensor(program, [microBatch, ...shape]) <= largestBuffer()) return tried;
    }
  throw new InputError(
    `A step on ${shape.slice(0, 3).join(' x ')} does not fit into ${(memory / 1e9).toFixed(1)} GB, even with one volume at a time.`,
  );
}

function largestTensor(program: Program, input: readonly number[]): number {
  const sizes = [...valueShapes(program, input).values()].map((shape) => shape.reduce((a, b) => a * b, 4));
  return Math.max(...sizes);
}

/** Bytes; engines on the processor have no such limit below their memory's. */
function largestBuffer(): number {
  if (tf.getBackend() !== 'webgpu') return Infinity;
  const { maxBufferSize, maxStorageBufferBindingSize } = (tf.backend() as GpuBackend).gpu.report.limits;
  return Math.min(maxBufferSize, maxStorageBufferBindingSize);
}
