import type { TensorflowPlaces } from '../../protocol/tensorflow';

/**
 * The engines behind tfjs-core's one API: `wasm` on every machine, `webgpu` on a GPU of any vendor, `tensorflow` where
 * the user has installed it, and `cpu`, tfjs's own JavaScript backend: slow, used as a reference.
 */
export const ENGINES = ['wasm', 'webgpu', 'tensorflow', 'cpu'] as const;
export type EngineName = (typeof ENGINES)[number];

/**
 * `f32`: single precision throughout. `f16`: convolutions multiply in half precision and add up in single, and training keeps
 * in half precision what its backward pass needs; weights, moments, gradients, statistics and all other operations stay in
 * single precision. On the engine webgpu alone, where the GPU has the feature `shader-f16`.
 */
export const PRECISIONS = ['f32', 'f16'] as const;
export type Precision = (typeof PRECISIONS)[number];

/** A GPU as its driver describes it, and what of it may be used. */
export interface AdapterReport {
  readonly vendor: string;
  readonly architecture: string;
  /** Name and driver, in the driver's words. */
  readonly description: string;
  /** The processor pretends to be a GPU (SwiftShader, lavapipe, WARP): right, and slower than the engine wasm. */
  readonly software: boolean;
  /** Optional abilities in use, e.g. `shader-f16`. */
  readonly features: readonly string[];
  /** Bytes, unless the name says otherwise. */
  readonly limits: Readonly<Record<string, number>>;
  /** Version of the package `webgpu`, which carries Dawn. */
  readonly dawn: string;
}

/** What computes, and why: recorded in run.json, shown by `fcd doctor`. */
export interface EngineReport {
  readonly name: EngineName;
  /** Kernel module of the engine `wasm`: `simd256`, `simd128-relaxed` or `simd128-strict`. */
  readonly module?: string;
  readonly precision: Precision;
  /** The GPU of the engine `webgpu`. */
  readonly adapter?: AdapterReport;
  /** Engines that the choice went past, and why. */
  readonly passedBy?: readonly { readonly name: EngineName; readonly reason: string }[];
  readonly threads: number;
  readonly node: string;
  readonly reason: string;
  /** Where the choice of each convolution's algorithm comes from. */
  readonly plan?: PlanReport;
  /** What was compared with double precision before it was taken. */
  readonly selfTest: readonly {
    readonly module: string;
    readonly ok: boolean;
    readonly gflops: number;
    readonly detail: string;
  }[];
}

/** Bytes of the engine's memory. */
export interface EngineMemory {
  /** Given to tensors and to running kernels. */
  readonly inUse: number;
  /** That it has grown to. */
  readonly reserved: number;
  /** The most that was ever in use. */
  readonly peak: number;
  /** That it can give at most. */
  readonly atMost: number;
  /** That it can give in one piece; absent: as much as in all. */
  readonly largestTensor?: number;
}

export interface PlanReport {
  /** A run's record, timings of this machine, or an estimate of the work where there is neither. */
  readonly source: 'recorded' | 'timed' | 'estimated';
  /** Convolutions that the record or the timings know. */
  readonly known: number;
  /** The file of this machine's timings. */
  readonly cache: string;
  /** Whether convolutions that are not known are timed when they come for the first time. */
  readonly tune: boolean;
  /** What else was found about how this GPU multiplies. */
  readonly detail?: string;
}

export interface EngineOptions {
  readonly engine?: EngineName | 'auto';
  /**
   * Hears, once by name, of a kernel that the engine leaves to tfjs's JavaScript although it has much to do: such a
   * kernel works, on one thread and slowly.
   */
  readonly onFallback?: (kernel: string) => void;
  /** Threads including the caller; default: physical cores. */
  readonly threads?: number;
  /** One thread (unless `threads` says otherwise) at low priority: for work beside a training run. */
  readonly background?: boolean;
  /** Default: `f32`. */
  readonly precision?: Precision;
  /** GPU: lower limits of a buffer than its own, to see what a smaller one does. Bytes. */
  readonly gpuLimits?: Readonly<Partial<Record<'maxBufferSize' | 'maxStorageBufferBindingSize', number>>>;
  /** GPU: so many bytes of its memory may be taken; default: what there is, which WebGPU does not tell. */
  readonly gpuMemory?: number;
  /** A kernel module by name, for replay of a recorded plan and for tests. */
  readonly module?: string;
  /** Where the engine `tensorflow` may look for its package; default: where the environment says. */
  readonly tensorflow?: TensorflowPlaces;
  /** Time the algorithms of each convolution once and remember what was fastest; else what is known, else an estimate. */
  readonly tune?: boolean;
  /** Tune on a GPU in software too, where it takes minutes and says nothing about GPUs: for tests. */
  readonly tuneSoftware?: boolean;
  /** Hears of a recorded choice that this GPU, or what of its memory may be taken, cannot serve, once for each convolution, and of what computes instead. */
  readonly onPlanReplaced?: (conv: string, recorded: string, instead: string) => void;
  /** A run's recorded choice of algorithms, to be replayed. */
  readonly plan?: Readonly<Record<string, string>>;
}
