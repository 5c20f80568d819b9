import * as tf from '@tensorflow/tfjs-core';
import { BACKEND_NAME, type GpuBackend } from '../backend';
import { convolutionKernels } from './convolution';
import type { Implementation, Inputs } from './implementation';
import { inPlaceKernels } from './in-place';
import { lossScalingKernels } from './loss-scaling';
import { lossKernels } from './losses';
import { normalisationKernels } from './normalisation';
import { poolingKernels } from './pooling';
import { resampleKernels } from './resample';
import { runningNormKernels } from './running-norm';
import { shortcutKernels } from './shortcut';

const IMPLEMENTATIONS: Readonly<Record<string, Implementation>> = {
  ...convolutionKernels,
  ...normalisationKernels,
  ...runningNormKernels,
  ...poolingKernels,
  ...shortcutKernels,
  ...resampleKernels,
  ...lossKernels,
  ...lossScalingKernels,
  ...inPlaceKernels,
};

let registered = false;

/** Registers the kernels of the engine webgpu with tfjs-core, once per process. */
export function registerWebgpuKernels(): void {
  if (registered) return;
  registered = true;
  for (const [kernelName, implementation] of Object.entries(IMPLEMENTATIONS))
    tf.registerKernel({
      kernelName,
      backendName: BACKEND_NAME,
      kernelFunc: ({ inputs, attrs, backend }) =>
        implementation(backend as GpuBackend, inputs as Inputs, attrs ?? {}),
    });
}
