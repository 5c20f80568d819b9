import type { Precision } from '../../engine';
import type { GpuBackend } from '../backend';
import { GpuPlan } from './gpu-plan';
import type { MatrixAbility } from './product-choice';

/** How the kernels of one GPU compute. */
export interface KernelSettings {
  precision: Precision;
  /** Which choice computes which convolution. */
  plan: GpuPlan;
  /** Matrix units that were found right. */
  matrices: readonly MatrixAbility[];
}

const settings = new WeakMap<GpuBackend, KernelSettings>();

/** The settings of a backend's kernels; may be changed between operations. */
export function kernelSettings(backend: GpuBackend): KernelSettings {
  let known = settings.get(backend);
  if (!known) settings.set(backend, (known = { precision: 'f32', plan: new GpuPlan(), matrices: [] }));
  return known;
}
