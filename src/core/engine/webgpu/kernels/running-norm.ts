import { KERNELS } from '../../ops/kernels';
import type { GpuProgram } from '../backend';
import { sizeOf, type Implementation } from './implementation';
import { forEach, forEachGroups, storage, uniform } from './shader-text';
import { float, words } from './uniform-values';

const channelwise = (
  key: string,
  read: readonly string[],
  written: readonly string[],
  text: string,
): GpuProgram => ({
  key,
  wgsl: () => `
${storage([
  ...read.map((name) => ({ name, type: 'f32' })),
  ...written.map((name) => ({ name, type: 'f32', access: 'read_write' as const })),
])}
${uniform(read.length + written.length, 'count: u32, epsilon: f32,')}
${forEach(text)}`,
});

const FOLD = channelwise(
  'fold-norm',
  ['gamma', 'beta', 'mean', 'variance'],
  ['scale', 'shift'],
  `
  let factor = gamma[i] / sqrt(variance[i] + sizes.epsilon);
  scale[i] = factor;
  shift[i] = beta[i] - mean[i] * factor;`,
);

const foldNorm: Implementation = (backend, { gamma, beta, mean, variance }, attrs) => {
  const { epsilon } = attrs as unknown as { epsilon: number };
  const count = sizeOf(gamma);
  const scale = backend.output([count], 'float32');
  const shift = backend.output([count], 'float32');
  const buffers = [gamma, beta, mean, variance, scale, shift];
  backend.dispatch(FOLD, buffers, forEachGroups(count), words(count, float(epsilon)));
  return [scale, shift];
};

const FOLD_GRADIENT = channelwise(
  'fold-norm gradient',
  ['dscale', 'dshift', 'mean', 'variance'],
  ['dgamma'],
  'dgamma[i] = (dscale[i] - mean[i] * dshift[i]) / sqrt(variance[i] + sizes.epsilon);',
);

const foldNormGradient: Implementation = (backend, { dscale, dshift, mean, variance }, attrs) => {
  const { epsilon } = attrs as unknown as { epsilon: number };
  const count = sizeOf(dscale);
  const dgamma = backend.output([count], 'float32');
  const buffers = [dscale, dshift, mean, variance, dgamma];
  backend.dispatch(FOLD_GRADIENT, buffers, forEachGroups(count), words(count, float(epsilon)));
  return dgamma;
};

/** Normalisation by running statistics as one multiplication and one addition. */
export const runningNormKernels: Readonly<Record<string, Implementation>> = {
  [KERNELS.foldNorm]: foldNorm,
  [KERNELS.foldNormGradient]: foldNormGradient,
};
