import type { EngineReportMessage } from '../../protocol/compute';

/** What is computed with. */
export type Computing = Pick<EngineReportMessage, 'engine' | 'module' | 'threads' | 'precision'>;

/** `wasm simd256, 2 threads`; `webgpu, f16`: on a GPU precision is a choice, and threads say nothing. */
export function engineSentence({ engine, module, threads, precision }: Computing): string {
  if (engine === 'webgpu') return `${engine}, ${precision}`;
  return `${module ? `${engine} ${module}` : engine}, ${threadsText(threads)}`;
}

export function threadsText(threads: number): string {
  return `${threads} ${threads === 1 ? 'thread' : 'threads'}`;
}
