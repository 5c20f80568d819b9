import { createRequire } from 'node:module';
import { InputError, messageOf } from '../../errors';
import type { AdapterReport, EngineOptions, Precision } from '../engine';

/** Abilities that kernels of ours make use of; each is asked for where the adapter has it. */
const FEATURES = [
  'shader-f16',
  'subgroups',
  'subgroup-size-control',
  'timestamp-query',
  'chromium-experimental-subgroup-matrix',
] as const;

/**
 * Dawn shows its experiments (subgroup matrices) only where unsafe interfaces are allowed, and rounds the GPU's clock to 0.1 ms
 * for web pages, from whom we have nothing to hide.
 */
const DAWN_OPTIONS = [
  'enable-dawn-features=allow_unsafe_apis',
  'disable-dawn-features=timestamp_quantization',
];

/** A GPU in use. What goes wrong on it is remembered, for WebGPU tells it apart from the call that caused it. */
export class GpuDevice {
  private failure?: Error;
  private closed = false;

  private constructor(
    /** Kept as long as the device is used: without it the process dies. */
    private gpu: GPU | undefined,
    readonly device: GPUDevice,
    readonly adapterInfo: GPUAdapterInfo,
    readonly report: AdapterReport,
  ) {
    void device.lost.then(({ message }) => {
      if (this.closed) return;
      this.failure ??= new InputError(
        `The connection to the GPU ${report.description} was lost${message ? ` (${message.trim()})` : ''}. Resume the run: it goes on from its last checkpoint, with --engine wasm on the processor.`,
      );
    });
    device.addEventListener('uncapturederror', ({ error }) => {
      this.failure ??= failureOf(error, report);
    });
  }

  /**
   * Opens the fastest adapter with its own limits and all features that kernels of ours can use.
   * @param precision that it must have
   * @throws InputError where Dawn is not installed, does not run here, or finds no GPU, or none that has the precision
   */
  static async open(
    lower: EngineOptions['gpuLimits'] = {},
    precision: Precision = 'f32',
  ): Promise<GpuDevice> {
    const { create, globals } = await loadDawn();
    // Kernels and tfjs name GPUBufferUsage and the like as a browser's globals.
    for (const [name, value] of Object.entries(globals))
      if (name.startsWith('GPU')) Object.assign(globalThis, { [name]: value });
    const gpu = create([...DAWN_OPTIONS]);
    const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
    if (!adapter)
      throw new InputError(
        'WebGPU finds no GPU here: it needs a driver for Vulkan (Linux), Direct3D 12 (Windows) or Metal (macOS). Install the driver of the GPU, or use --engine wasm.',
      );
    // Before there is a device: a process that ends right behind a new one may be taken down by its driver's threads.
    if (precision === 'f16' && !adapter.features.has('shader-f16'))
      throw new InputError(
        `The GPU ${nameOf(adapter.info)} has no half precision: it lacks the feature shader-f16. Leave that out (--precision f16; fcd.precision in the editor's settings), for single precision works on it. A run that began in half precision goes on with --engine wasm, on the processor.`,
      );
    const requiredFeatures = FEATURES.filter((feature) => adapter.features.has(feature)) as GPUFeatureName[];
    const limits = { ...limitsOf(adapter.limits), ...lower };
    let device: GPUDevice;
    try {
      device = await adapter.requestDevice({ requiredFeatures, requiredLimits: limits });
    } catch (error) {
      throw new InputError(
        `The GPU ${adapter.info.description} cannot be opened: ${messageOf(error)}. Use --engine wasm.`,
      );
    }
    return new GpuDevice(gpu, device, adapter.info, {
      vendor: adapter.info.vendor,
      architecture: adapter.info.architecture,
      description: nameOf(adapter.info),
      software: isSoftware(adapter.info),
      features: requiredFeatures,
      limits,
      dawn: dawnVersion(),
    });
  }

  /** The browser's `navigator.gpu`. @throws Error once the device is closed */
  get instance(): GPU {
    if (!this.gpu) throw new Error('The GPU is closed.');
    return this.gpu;
  }

  /** Nothing computed after a failure is to be believed. @throws InputError that says what happened to the GPU */
  requireSound(): void {
    if (this.failure) throw this.failure;
  }

  /** Remembers a failure that was not the device's to tell. The first one counts. */
  fail(error: Error): void {
    this.failure ??= error;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.device.destroy();
    // Dawn keeps the process alive as long as this is referenced.
    this.gpu = undefined;
  }
}

const nameOf = ({ description, device }: GPUAdapterInfo): string => description || device;

function failureOf(error: GPUError, { description, limits }: AdapterReport): Error {
  const [line] = error.message.trim().split('\n');
  if (error instanceof GPUOutOfMemoryError || /out of memory/i.test(error.message))
    return new InputError(
      `The GPU ${description} is out of memory (${line}). Resume the run with --gpu-memory and the GB that are free, for which its steps are then computed in parts, or with --engine wasm on the processor.`,
    );
  return new Error(
    `The GPU ${description} refuses a command: ${line} (its buffers hold at most ${limits.maxBufferSize} bytes).`,
  );
}

function limitsOf(limits: GPUSupportedLimits): Record<string, number> {
  const read: Record<string, number> = {};
  for (const name of Object.getOwnPropertyNames(Object.getPrototypeOf(limits))) {
    const value: unknown = Reflect.get(limits, name);
    if (typeof value === 'number') read[name] = value;
  }
  return read;
}

/** The processor in a GPU's clothes. */
export function isSoftware(info: {
  readonly isFallbackAdapter?: boolean;
  readonly architecture: string;
  readonly description: string;
}): boolean {
  return (
    info.isFallbackAdapter === true ||
    /swiftshader|software/i.test(info.architecture) ||
    /swiftshader|llvmpipe|basic render|warp/i.test(info.description)
  );
}

interface Dawn {
  readonly create: (options: string[]) => GPU;
  readonly globals: object;
}

/** An optional package: not every platform has it, and an extension that is not of one platform leaves it out. */
async function loadDawn(): Promise<Dawn> {
  try {
    return await import('webgpu');
  } catch (error) {
    throw new InputError(
      `WebGPU for Node.js (the package "webgpu", Dawn) does not load here: ${messageOf(error).split('\n')[0]}. Install FCD Lens for this platform, or use --engine wasm.`,
    );
  }
}

function dawnVersion(): string {
  try {
    const manifest: unknown = createRequire(import.meta.url)('webgpu/package.json');
    return String((manifest as { version?: unknown }).version ?? 'unknown');
  } catch {
    return 'unknown';
  }
}
