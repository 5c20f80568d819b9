import * as tf from '@tensorflow/tfjs-core';
import { InputError, messageOf } from '../errors';
import type { EngineMemory, EngineName, EngineOptions, EngineReport } from './engine';
import type { EngineOpener, OpenedEngine, PreparationWatch } from './opened-engine';
import { openTensorflow } from './tensorflow/open';
import { openTfjsCpu } from './tfjs-cpu';
import type { ConvGeometry, ConvPass } from './wasm/conv-geometry';
import type { RecordedPlan } from './wasm/conv-plan';
import type { Machine } from './wasm/machine';
import { openWasm, requireModule } from './wasm/open';
import { Profile } from './wasm/profile';
import { timePeak } from './wasm/peak';
import { openTestedWebgpu } from './webgpu/open';
import { knownGpu, noGpuHere } from './webgpu/try-gpu';
import { againstUse } from './webgpu/verdict';

/** How each engine is opened. */
const OPENERS: Readonly<Record<EngineName, EngineOpener>> = {
  wasm: openWasm,
  cpu: openTfjsCpu,
  webgpu: openTestedWebgpu,
  tensorflow: openTensorflow,
};

let open: OpenedEngine | undefined;

/**
 * Opens what is to compute and makes it tfjs-core's backend: what was asked for, else a GPU that computes rightly, else
 * the wasm engine. An engine that was open is closed, and its tensors are lost.
 */
export async function openEngine(options: EngineOptions = {}): Promise<EngineReport> {
  await closeEngine();
  checkOptions(options);
  tf.enableProdMode(); // silences tfjs's advice on the console; it checks as much as before
  open = await openerOf(options)(options);
  return open.report;
}

function openerOf({ engine = 'auto', module }: EngineOptions): EngineOpener {
  if (engine === 'auto') return module ? openWasm : openBest;
  return OPENERS[engine];
}

/** The best engine that works here; those that it is not are named with the reason. */
async function openBest(options: EngineOptions): Promise<OpenedEngine> {
  let reason = await againstGpu(options);
  if (reason === undefined)
    try {
      const { report, ...opened } = await openTestedWebgpu(options);
      return {
        ...opened,
        report: { ...report, reason: `a GPU that computes rightly: ${report.adapter?.description}` },
      };
    } catch (error) {
      if (options.precision === 'f16') throw error;
      reason = messageOf(error);
    }
  if (options.precision === 'f16') throw new InputError(noHalfWithout(reason));
  const { report, ...opened } = await openWasm(options);
  return { ...opened, report: { ...report, passedBy: [{ name: 'webgpu', reason }] } };
}

/** Why no GPU is taken where none was asked for; undefined where one is. */
async function againstGpu({ background }: EngineOptions): Promise<string | undefined> {
  if (background) return 'in the background the GPU is left to what trains on it';
  return noGpuHere() ?? againstUse(await knownGpu());
}

/** Frees what the engine holds and forgets the backend; its tensors cannot be used any more. */
export async function closeEngine(): Promise<void> {
  const closing = open;
  open = undefined;
  await closing?.close();
}

/** The engine that is open. */
export function currentEngine(): EngineReport | undefined {
  return open?.report;
}

/** The algorithm of every convolution so far, by shape and pass: recorded with a run so that it can be replayed. */
export function enginePlan(): RecordedPlan | undefined {
  return open?.plan?.();
}

/**
 * Lets the engine time the convolutions of work to come, where it cannot do so in the middle of that work (a GPU) and was
 * opened to be tuned; else does nothing. `rehearsal` is to go through the same shapes and to free what it makes; what it
 * computes is nonsense, and parameters stay as they are.
 */
export async function prepareEngine(
  rehearsal: () => Promise<void>,
  watch: PreparationWatch = {},
): Promise<void> {
  await open?.prepare?.(rehearsal, watch);
}

/** What the engine's memory holds. Undefined where tfjs's own backend computes. */
export function engineMemory(): EngineMemory | undefined {
  return open?.memory?.();
}

/** Bytes of working memory of a convolution on the open engine; undefined where that does not say. */
export function engineScratchBytes(
  pass: ConvPass,
  geometry: ConvGeometry,
  halved = false,
): number | undefined {
  return open?.scratchBytes?.(pass, geometry, halved);
}

/**
 * Says what an estimate of a step's memory has left of the memory that may be taken: ways of computing convolutions that borrow
 * more than estimated, within it, may be timed and chosen from now on. Before, none is where memory is limited.
 */
export function spareForScratch(bytes: number): void {
  open?.spareForScratch?.(bytes);
}

/** From now on, the peak of {@link engineMemory} counts anew. */
export function resetEnginePeak(): void {
  open?.resetPeak?.();
}

/** The machine of the open engine, for what measures single kernels. @throws Error without the wasm engine */
export function engineMachine(): Machine {
  if (!open?.machine) throw new Error('No wasm engine is open.');
  return open.machine;
}

/** Does work and says where its time went. Undefined where tfjs's own backend computes. */
export async function profiled<T>(
  work: () => Promise<T>,
): Promise<{ readonly result: T; readonly profile?: Profile }> {
  const pool = open?.machine?.pool;
  if (!pool) return { result: await work() };
  const profile = new Profile();
  pool.profile = profile;
  try {
    return { result: await work(), profile };
  } finally {
    pool.profile = undefined;
  }
}

/** GFLOP/s that all threads reach together on registers alone: the best of a few tries. Undefined on the cpu engine. */
export function measurePeak(): number | undefined {
  return open?.machine && timePeak(open.machine);
}

/** @param reason why no GPU computes */
function noHalfWithout(reason: string): string {
  return `Half precision (--precision f16; fcd.precision in the editor's settings) needs a GPU that has it, and none is taken here: ${reason}. Leave it out, or name the GPU (--engine webgpu).`;
}

function checkOptions({ engine = 'auto', module, threads, precision }: EngineOptions): void {
  const half = precision === 'f16';
  if (half && (module !== undefined || (engine !== 'auto' && engine !== 'webgpu')))
    throw new InputError(
      `The engine "${engine === 'auto' ? 'wasm' : engine}" computes in single precision alone. Leave out half precision (--precision f16; fcd.precision in the editor's settings), or use --engine webgpu on a GPU that has it.`,
    );
  if (module && engine !== 'auto' && engine !== 'wasm')
    throw new InputError(
      `The engine "${engine}" has no kernel module "${module}". Leave out one of the two.`,
    );
  if (module) requireModule(module);
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= 256))
    throw new InputError(`threads must be a whole number from 1 to 256, not ${threads}.`);
}
