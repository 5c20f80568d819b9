import type { EngineMemory, EngineOptions, EngineReport } from './engine';
import type { ConvGeometry, ConvPass } from './wasm/conv-geometry';
import type { RecordedPlan } from './wasm/conv-plan';
import type { Machine } from './wasm/machine';

/** Hears how preparation goes on, and may end it early. */
export interface PreparationWatch {
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** An engine that computes: tfjs-core's backend is it. */
export interface OpenedEngine {
  readonly report: EngineReport;
  /** Frees what it holds and takes its backend away; its tensors are lost. */
  readonly close: () => Promise<void>;
  /** The algorithm of every convolution so far, where the engine chooses among several. */
  readonly plan?: () => RecordedPlan;
  /**
   * Gets ready for the convolutions of work to come, where the engine cannot stop in the middle of it to time them: `rehearsal`
   * goes through that work once, and nothing that it computes is kept.
   */
  readonly prepare?: (rehearsal: () => Promise<void>, watch: PreparationWatch) => Promise<void>;
  readonly memory?: () => EngineMemory;
  /** Bytes of working memory that estimates are to count on for a convolution: of a GPU, by the way it is computed untimed, where x lies in half precision if `halved`. */
  readonly scratchBytes?: (pass: ConvPass, geometry: ConvGeometry, halved?: boolean) => number;
  /** Lets convolutions borrow so many bytes more than {@link scratchBytes}, where that is faster. */
  readonly spareForScratch?: (bytes: number) => void;
  readonly resetPeak?: () => void;
  /** Threads and memory of the wasm engine. */
  readonly machine?: Machine;
}

/** Opens one engine and makes it tfjs-core's backend. @throws InputError where it does not run here, with what to do */
export type EngineOpener = (options: EngineOptions) => Promise<OpenedEngine>;
