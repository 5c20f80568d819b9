import { crossEntropyGradientOf, type WeightedLabels } from '../ops/cross-entropy';
import { KERNELS } from '../ops/kernels';
import type { WasmBackend } from './backend';
import type { Implementation } from './implementation';
import type * as tf from '@tensorflow/tfjs-core';

/**
 * Kernels over a number per channel or per sample: in JavaScript where the numbers lie, in double precision. Handing
 * them to threads would take longer than the work.
 */
const view = (backend: WasmBackend, x: tf.TensorInfo) => backend.view(x) as Float32Array;

const foldNorm: Implementation = (backend, { gamma, beta, mean, variance }, attrs) => {
  const { epsilon } = attrs as unknown as { epsilon: number };
  const [scale, shift] = [backend.output(gamma.shape, 'float32'), backend.output(gamma.shape, 'float32')];
  const [g, b, m, v] = [gamma, beta, mean, variance].map((x) => view(backend, x));
  const [a, o] = [view(backend, scale), view(backend, shift)];
  for (let c = 0; c < a.length; c++) {
    a[c] = g[c] / Math.sqrt(v[c] + epsilon);
    o[c] = b[c] - m[c] * a[c];
  }
  return [scale, shift];
};

const foldNormGradient: Implementation = (backend, { dscale, dshift, mean, variance }, attrs) => {
  const { epsilon } = attrs as unknown as { epsilon: number };
  const dgamma = backend.output(dscale.shape, 'float32');
  const [d, s, m, v] = [dscale, dshift, mean, variance].map((x) => view(backend, x));
  const g = view(backend, dgamma);
  for (let c = 0; c < g.length; c++) g[c] = (d[c] - m[c] * s[c]) / Math.sqrt(v[c] + epsilon);
  return dgamma;
};

const moveRunning: Implementation = (backend, { running, batch }, attrs) => {
  const { momentum, factor } = attrs as unknown as { momentum: number; factor: number };
  const [to, from] = [view(backend, running), view(backend, batch)];
  for (let c = 0; c < to.length; c++) to[c] += momentum * (from[c] * factor - to[c]);
  return [];
};

const crossEntropyGradient: Implementation = (backend, { logits }, attrs) => {
  const dlogits = backend.output(logits.shape, 'float32');
  const targets = attrs as unknown as WeightedLabels;
  view(backend, dlogits).set(crossEntropyGradientOf(view(backend, logits), logits.shape[1], targets));
  return dlogits;
};

export const smallKernels: Readonly<Record<string, Implementation>> = {
  [KERNELS.foldNorm]: foldNorm,
  [KERNELS.foldNormGradient]: foldNormGradient,
  [KERNELS.moveRunning]: moveRunning,
  [KERNELS.crossEntropyGradient]: crossEntropyGradient,
};
