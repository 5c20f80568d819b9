// A worker thread of the pool: waits for kernels and computes its share. Bundled into dist/engine/worker.js.
import { parentPort, workerData } from 'node:worker_threads';
import { instantiate, kernelNames, type WorkerSetup } from './instance';
import { MESSAGE_BYTES, SPINS, STOP, WORD } from './control';

const { memory, module, thread, threads } = workerData as WorkerSetup;
const words = new Int32Array(memory.buffer);
const kernels = instantiate(module, memory);
const names = kernelNames(module);
let generation = Atomics.load(words, WORD.generation);
parentPort?.postMessage('ready');

for (;;) {
  generation = next(generation);
  const kernel = Atomics.load(words, WORD.kernel);
  if (kernel === STOP) break;
  try {
    kernels[names[kernel]](thread, threads, WORD.job * 4);
  } catch (error) {
    leaveMessage(String(error));
  }
  Atomics.add(words, WORD.done, 1);
  Atomics.notify(words, WORD.done);
}

function next(seen: number): number {
  for (let spins = 0; ; spins++) {
    const now = Atomics.load(words, WORD.generation);
    if (now !== seen) return now;
    if (spins >= SPINS) Atomics.wait(words, WORD.generation, seen);
  }
}

function leaveMessage(message: string): void {
  const text = new TextEncoder().encode(message).subarray(0, MESSAGE_BYTES);
  new Uint8Array(memory.buffer, (WORD.message + 1) * 4, MESSAGE_BYTES).set(text);
  Atomics.store(words, WORD.message, text.length);
  Atomics.store(words, WORD.failed, 1);
}
