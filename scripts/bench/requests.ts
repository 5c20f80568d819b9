import type { EngineMemory, Precision } from '../../src/core/engine/engine';
import type { Triple } from '../../src/core/engine/ops/kernels';
import type { NetworkSpec } from '../../src/core/model/spec';

// What the benchmark's driver (bench.mjs and its modules) asks our side.

export interface EngineRequest {
  /** Default: `wasm`. */
  readonly engine?: 'wasm' | 'webgpu';
  /** Of the engine webgpu; default: f32. */
  readonly precision?: Precision;
  /** Bytes of its memory that the engine webgpu may take. */
  readonly gpuMemory?: number;
  readonly threads?: number;
  readonly module?: string;
  readonly optimiser: 'adam' | 'sgd';
  readonly checkpointActivations: boolean;
}

export type LayerPass = 'forward' | 'input gradient' | 'filter gradient';

export interface LayerRequest {
  readonly batch: number;
  readonly input: Triple;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernel: Triple;
  readonly stride: Triple;
  readonly padding: Triple;
  readonly dilation: Triple;
  readonly passes: readonly LayerPass[];
  /** Measurements of each pass. */
  readonly repeats: number;
  /** Milliseconds that one measurement on a GPU takes at least: the pass is repeated until then. */
  readonly leastMs?: number;
}

export interface WholeRequest {
  readonly kind: 'step' | 'inference' | 'gradcam' | 'threads';
  readonly arch: NetworkSpec['arch'];
  readonly geometry: NetworkSpec['geometry'];
  readonly shortcut: NetworkSpec['shortcut'];
  /** Default: 1. */
  readonly width?: number;
  readonly grid: Triple;
  readonly batch: number;
  /** Volumes at once; default: the whole batch. */
  readonly microBatch?: number;
  /** Bytes that a step may hold: micro-batch and checkpointing are chosen so that it does. */
  readonly memory?: number;
}

export type Request =
  | ({ readonly do: 'engine' } & EngineRequest)
  | { readonly do: 'machine' | 'memory' | 'resetPeak' | 'ceilings' }
  | { readonly do: 'step' | 'inference' | 'gradcam' }
  | { readonly do: 'profile'; readonly kind: 'step' | 'inference' | 'gradcam' }
  | ({ readonly do: 'layer' } & LayerRequest)
  | ({ readonly do: 'layersOf' } & WholeRequest)
  | ({ readonly do: 'open' } & WholeRequest);

/** Bytes. */
export interface MemoryAnswer {
  /** The most that this process ever held of the machine's memory. */
  readonly peak: number;
  readonly engine?: EngineMemory;
}
