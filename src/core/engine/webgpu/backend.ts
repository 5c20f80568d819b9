import type * as tf from '@tensorflow/tfjs-core';
import { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import type { GpuDevice } from './device';

/** tfjs's own name for it: its kernels are registered under it, and ours beside them. */
export const BACKEND_NAME = 'webgpu';

/** tfjs-core's tensors on the GPU. They can be read asynchronously only. */
export class GpuBackend extends WebGPUBackend {
  private readonly fallbacks = new Set<string>();

  /** @param onFallback hears once by name of kernels of ours that are composed of tfjs's */
  constructor(
    readonly gpu: GpuDevice,
    private readonly onFallback?: (kernel: string) => void,
  ) {
    super(gpu.device, gpu.adapterInfo);
  }

  /** An operation was composed of tfjs's stock kernels, for there is none of ours. */
  fallsBack(kernel: string): void {
    if (this.fallbacks.has(kernel)) return;
    this.fallbacks.add(kernel);
    this.onFallback?.(kernel);
  }

  /** @throws InputError when the GPU was lost or ran out of memory before: the numbers would be none */
  override async read(dataId: object): Promise<tf.BackendValues> {
    this.gpu.requireSound();
    try {
      const values = await super.read(dataId);
      this.gpu.requireSound();
      return values;
    } catch (error) {
      // The reason stands in the device; what a failed mapping says is only its consequence.
      this.gpu.requireSound();
      throw error;
    }
  }

  /** Numbers that never left the processor. @throws Error for those that are on the GPU */
  override readSync(dataId: object): tf.BackendValues {
    const { values } = this.tensorMap.get(dataId);
    if (values === null || values === undefined)
      throw new Error('A tensor on the GPU can only be read asynchronously.');
    return values;
  }
}
