import * as tf from '@tensorflow/tfjs-core';
import { KERNELS } from '../../ops/kernels';
import { BACKEND_NAME, type GpuBackend } from '../backend';
import { convolutionKernels } from './convolution';
import type { Implementation, Inputs } from './implementation';
import { halfKernels, inSingle } from './half-copy';
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
  ...halfKernels,
  ...inPlaceKernels,
};

/** Kernels that read tensors in half precision as they lie; for the others these are written out before. */
const READ_HALVES: ReadonlySet<string> = new Set([
  KERNELS.conv3d,
  KERNELS.conv3dFilterGradient,
  KERNELS.batchNormTrain,
  KERNELS.batchNormTrainGradient,
  KERNELS.scaleShift,
  KERNELS.scaleShiftGradient,
  KERNELS.normPoolGradient,
]);

let registered = false;

/** Registers the kernels of the engine webgpu with tfjs-core, once per process. */
export function registerWebgpuKernels(): void {
  if (registered) return;
  registered = true;
  for (const [kernelName, implementation] of Object.entries(IMPLEMENTATIONS))
    tf.registerKernel({
      kernelName,
      backendName: BACKEND_NAME,
      kernelFunc: ({ inputs, attrs, backend }) => {
        const gpu = backend as GpuBackend;
        const run = (given: Inputs) => implementation(gpu, given, attrs ?? {});
        return READ_HALVES.has(kernelName) ? run(inputs as Inputs) : inSingle(gpu, inputs as Inputs, run);
      },
    });
}
