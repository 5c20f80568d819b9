import type { EngineName } from './engine';
import { physicalCores } from './cores';
import { currentEngine, engineScratchBytes } from './choose';
import type { ConvGeometry, ConvPass } from './wasm/conv-geometry';
import { scratchBytes } from './wasm/conv-scratch';
import { sizeClass } from './wasm/heap';
import { estimatedScratchBytes } from './webgpu/kernels/scratch-bytes';

/** How an engine gives out its memory. */
export interface MemoryRules {
  /** Bytes that a tensor of so many bytes takes. */
  readonly tensor: (bytes: number) => number;
  /**
   * Bytes of working memory of a convolution: of the engine wasm, whichever algorithm serves it; of a GPU, as it is computed where
   * nothing was timed. What was timed borrows no more than that and what the estimate leaves ({@link spareForScratch}).
   * `halved`: x lies in half precision.
   */
  readonly convolution: (pass: ConvPass, geometry: ConvGeometry, halved?: boolean) => number;
  /** What is not counted on, as a factor of an estimate: rounding in it, and pieces too small to be given again. */
  readonly slack: number;
}

/** Of the engine wasm: classes of sizes, and packed weights for each thread. */
function wasmRules(): MemoryRules {
  const engine = currentEngine();
  // Threads and panels of the engine that is open, else what this machine would open.
  const workers = {
    threads: engine?.threads ?? physicalCores(),
    panel: engine?.module === undefined || engine.module === 'simd256' ? 16 : 8,
  };
  return {
    tensor: sizeClass,
    convolution: (pass, geometry) => sizeClass(scratchBytes(pass, geometry, workers)),
    slack: 1.05,
  };
}

/** Of the engine webgpu: buffers as large as tensors, given again for others up to a quarter smaller. */
const WEBGPU_RULES: MemoryRules = {
  tensor: (bytes) => Math.max(4, bytes),
  convolution: (pass, geometry, halved) =>
    // Of the GPU that is open, else of one without matrix units.
    (currentEngine()?.name === 'webgpu' ? engineScratchBytes(pass, geometry, halved) : undefined) ??
    estimatedScratchBytes({ pass, g: geometry, precision: 'f32' }, {}, { halved }),
  slack: 1.15,
};

/** The rules of an engine: by default of the one that is open, else of the wasm engine. */
export function memoryRules(engine: EngineName = currentEngine()?.name ?? 'wasm'): MemoryRules {
  return engine === 'webgpu' ? WEBGPU_RULES : wasmRules();
}
