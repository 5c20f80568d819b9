import type { Precision } from '../../engine';
import type { GpuBackend } from '../backend';
import type { GemmChoice } from './gemm-choice';

export type { Precision };

/** How the kernels of one GPU compute. */
export interface KernelSettings {
  precision: Precision;
  /** What a tuner found to be fastest, by the problem's key: overrides the built-in choice. */
  readonly choices: Map<string, GemmChoice>;
}

const settings = new WeakMap<GpuBackend, KernelSettings>();

/** The settings of a backend's kernels; may be changed between operations. */
export function kernelSettings(backend: GpuBackend): KernelSettings {
  let known = settings.get(backend);
  if (!known) settings.set(backend, (known = { precision: 'f32', choices: new Map() }));
  return known;
}
