import * as tf from '@tensorflow/tfjs-core';
import { TENSORFLOW_VERSION, tensorflowPlaces } from '../../../protocol/tensorflow';
import { InputError } from '../../errors';
import { physicalCores } from '../cores';
import type { EngineOptions } from '../engine';
import type { OpenedEngine } from '../opened-engine';
import { CUDA_VERSION, missingLibraries } from './cuda-libraries';
import { findTensorflow, type TensorflowPackage } from './find-package';
import { loadTensorflow, TENSORFLOW_BACKEND, type LoadedTensorflow } from './load-package';
import { selfTest, timeConvolution } from './self-test';

/**
 * Opens TensorFlow for Node.js, which the user has installed, and makes it tfjs-core's backend: on an NVIDIA card through
 * CUDA with @tensorflow/tfjs-node-gpu, on the processor with @tensorflow/tfjs-node. It has none of our kernels; the
 * operations are composed of its own, and every one of them is tested against tfjs's JavaScript before it computes.
 */
export async function openTensorflow(options: EngineOptions): Promise<OpenedEngine> {
  const found = findTensorflow(options.tensorflow ?? tensorflowPlaces(process.env));
  if (!found) throw new InputError(notFound());
  const threads = options.threads ?? (options.background ? 1 : undefined);
  const loaded = await loadTensorflow(found, threads);
  const test = await selfTest(loaded.usesGpu);
  if (!test.ok) {
    tf.removeBackend(TENSORFLOW_BACKEND);
    throw new InputError(
      `${found.name} ${found.version} in ${found.folder} does not compute rightly: ${test.detail}. Choose another engine.`,
    );
  }
  const gflops = Math.round(timeConvolution() * 10) / 10;
  return {
    report: {
      name: 'tensorflow',
      precision: 'f32',
      threads: loaded.usesGpu ? 1 : (threads ?? physicalCores()),
      node: process.version,
      reason: reasonFor(found, loaded),
      selfTest: [{ module: found.name, ...test, gflops }],
    },
    close: async () => tf.removeBackend(TENSORFLOW_BACKEND),
  };
}

function notFound(): string {
  return `The engine "tensorflow" needs @tensorflow/tfjs-node-gpu (an NVIDIA card with CUDA ${CUDA_VERSION}) or @tensorflow/tfjs-node, and neither was found. In the editor FCD: Install CUDA Backend installs it. Elsewhere: npm install @tensorflow/tfjs-node-gpu@${TENSORFLOW_VERSION} in a folder, and name that folder (--tensorflow FOLDER, or FCD_TENSORFLOW_PATH).`;
}

/** What was found, and where it computes; where a card was meant to, why it does not. */
function reasonFor(found: TensorflowPackage, { usesGpu, library }: LoadedTensorflow): string {
  const what = `asked for: ${found.name} ${found.version} (${found.found}), TensorFlow ${library}`;
  if (usesGpu) return `${what} on an NVIDIA card`;
  if (found.name !== '@tensorflow/tfjs-node-gpu') return `${what} on the processor`;
  const why = missingLibraries() ?? 'No NVIDIA card that TensorFlow can use was found (see nvidia-smi).';
  return `${what} on the processor and not on a card. ${why}`;
}
