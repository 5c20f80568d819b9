// Who takes turns on a GPU: our engine at each precision, PyTorch in each of its modes, and our engine on the processor.
import { availableParallelism } from 'node:os';
import { startOurs, startTorch } from '../peers.mjs';

/**
 * @typedef {{ name: string, ours: boolean, process: string, mode?: string, precision?: 'f32' | 'f16' }} Side
 * Sides of one `process` take their turns in the same process.
 */

/** @returns {Side[]} */
export function sidesOf({ precisions, torchModes, wasm }) {
  return [
    ...precisions.map((precision) => ({
      name: `webgpu-${precision}`,
      ours: true,
      process: `webgpu-${precision}`,
      precision,
    })),
    ...torchModes.map((mode) => ({
      name: mode === 'f16' || mode === 'cpu' ? `torch-${mode}` : mode,
      ours: false,
      process: 'torch',
      mode,
    })),
    ...(wasm ? [{ name: 'wasm', ours: false, process: 'wasm' }] : []),
  ];
}

/** Starts the process that sides belong to. @param {string} name a side's `process` */
export async function startProcess(name, { optimiser, checkpointActivations, threads, memory }, running) {
  const common = { optimiser, checkpointActivations };
  if (name === 'torch') return (await startTorchOnGpu({ optimiser, threads }, running)).peer;
  if (name === 'wasm') return (await startOurs({ ...common, engine: 'wasm', threads }, running)).peer;
  const precision = name.slice('webgpu-'.length);
  return (await startOurs({ ...common, engine: 'webgpu', precision, gpuMemory: memory }, running)).peer;
}

/** PyTorch on CUDA, or where it finds none on all of the processor's cores, and what it says of itself. */
export function startTorchOnGpu({ optimiser, threads = availableParallelism() }, running) {
  return startTorch({ threads, optimiser, device: 'cuda' }, running);
}

/** What went wrong as one line: errors of ours bring their places along, which a record has no use for. */
export const sentenceOf = (error) => String(error.message ?? error).split('\n')[0];
