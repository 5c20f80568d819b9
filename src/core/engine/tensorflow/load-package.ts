import { createRequire } from 'node:module';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { InputError } from '../../errors';
import type { TensorflowPackage } from './find-package';
import { loadFailure } from './load-failure';
import { restoreRemovedFunctions } from './removed-from-node';

/** The name under which the package registers its backend with tfjs-core. */
export const TENSORFLOW_BACKEND = 'tensorflow';

/** What of TensorFlow's environment is set, unless it is set already. */
const ENVIRONMENT: Readonly<Record<string, string>> = {
  // Otherwise it takes all memory of the card at once: the editor and a run would be in each other's way.
  TF_FORCE_GPU_ALLOW_GROWTH: 'true',
  // No lines about every device; warnings and errors stay.
  TF_CPP_MIN_LOG_LEVEL: '1',
};

/** How a package that was loaded before makes its backend, by folder. */
const factories = new Map<string, ReturnType<typeof tf.findBackendFactory>>();

export interface LoadedTensorflow {
  /** Whether a graphics card computes; false with the package for the processor, and where CUDA did not work. */
  readonly usesGpu: boolean;
  /** Version of TensorFlow's library. */
  readonly library: string;
}

/**
 * Loads the package, which registers its kernels and its backend with tfjs-core and makes it the current one. In one
 * process only one package can ever be loaded.
 * @param threads threads of TensorFlow on the processor, where a number is given
 * @throws InputError that says what to do
 */
export async function loadTensorflow(
  found: TensorflowPackage,
  threads: number | undefined,
): Promise<LoadedTensorflow> {
  requireSameVersion(found);
  restoreRemovedFunctions();
  for (const [name, value] of Object.entries(ENVIRONMENT)) process.env[name] ??= value;
  if (threads !== undefined) process.env.TF_NUM_INTRAOP_THREADS = String(threads);
  try {
    createRequire(join(found.folder, 'package.json'))(found.folder);
    // Loading it registers the backend, but only the first time; a closed engine has taken it away.
    const register = tf.findBackendFactory(TENSORFLOW_BACKEND) ?? factories.get(found.folder);
    if (!register) throw new Error('It registers no backend.');
    factories.set(found.folder, register);
    tf.registerBackend(TENSORFLOW_BACKEND, register);
    if (!(await tf.setBackend(TENSORFLOW_BACKEND))) throw new Error('Its backend does not start.');
  } catch (error) {
    throw loadFailure(error, found);
  }
  const { isUsingGpuDevice, binding } = tf.backend() as NodeBackend;
  return { usesGpu: isUsingGpuDevice === true, library: binding?.TF_Version ?? 'unknown' };
}

/** What of the package's backend is looked at. */
type NodeBackend = tf.KernelBackend & {
  readonly isUsingGpuDevice?: boolean;
  readonly binding?: { readonly TF_Version?: string };
};

/** Our tfjs-core and the package's share one registry of kernels and tensors, so they must be the same. */
function requireSameVersion({ name, version, folder }: TensorflowPackage): void {
  if (version === tf.version_core) return;
  throw new InputError(
    `${name} in ${folder} is version ${version}; FCD Lens works with ${tf.version_core}. Install that one: npm install ${name}@${tf.version_core}, or FCD: Install CUDA Backend.`,
  );
}
