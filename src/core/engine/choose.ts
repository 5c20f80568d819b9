import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { availableParallelism, constants, setPriority } from 'node:os';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { InputError, messageOf } from '../errors';
import type { EngineMemory, EngineOptions, EngineReport, PlanReport } from './engine';
import { PlanCache } from './plan-cache';
import { BACKEND_NAME, WasmBackend } from './wasm/backend';
import { ConvPlan, type RecordedPlan } from './wasm/conv-plan';
import { registerKernels } from './wasm/kernels';
import { Machine } from './wasm/machine';
import { MODULES, compileModule, type KernelModule } from './wasm/modules';
import { Profile } from './wasm/profile';
import { timePeak } from './wasm/peak';
import { TIMING_MS, selfTest, timeConvolution } from './wasm/self-test';

/** Memory of a trial: 64 MiB. */
const TRIAL_PAGES = 1024;

interface Trial {
  readonly module: string;
  readonly ok: boolean;
  readonly gflops: number;
  readonly detail: string;
  readonly compiled?: WebAssembly.Module;
}

let open:
  { readonly machine?: Machine; readonly cache?: PlanCache; readonly report: EngineReport } | undefined;

/**
 * Chooses what computes and makes it tfjs-core's backend: every kernel module that this Node can run is tested against
 * double precision and timed for a moment, and the fastest correct one is taken. An engine that was open is closed,
 * and its tensors are lost.
 */
export async function openEngine(options: EngineOptions = {}): Promise<EngineReport> {
  await closeEngine();
  checkOptions(options);
  tf.enableProdMode(); // silences tfjs's advice on the console; it checks as much as before
  if (options.engine === 'cpu') {
    await tf.setBackend('cpu');
    const report = {
      ...common(1),
      name: 'cpu' as const,
      reason: "asked for: tfjs's JavaScript kernels",
      selfTest: [],
    };
    open = { report };
    return report;
  }
  // Before threads are started: on Linux each has a priority of its own and inherits it.
  if (options.background) lowerPriority();
  const candidates = MODULES.filter((module) => !options.module || module.name === options.module);
  const trials = await tryModules(candidates);
  const best = trials.filter((trial) => trial.ok).sort((a, b) => b.gflops - a.gflops)[0];
  if (!best?.compiled) throw new InputError(noModule(options, trials));

  const threads = options.threads ?? (options.background ? 1 : physicalCores());
  const cache = new PlanCache(best.module, threads);
  const timed = cache.read();
  const plan = new ConvPlan({ recorded: options.plan, timed, tune: options.tune });
  const machine = await Machine.open(best.compiled, threads, undefined, plan);
  const whole = selfTest(machine);
  if (!whole.ok) {
    await machine.close();
    throw new Error(
      `The kernel module ${best.module} computes wrongly with ${machine.threads} threads: ${whole.detail}.`,
    );
  }
  registerKernels();
  tf.registerBackend(BACKEND_NAME, () => new WasmBackend(machine, options.onFallback));
  await tf.setBackend(BACKEND_NAME);
  const report: EngineReport = {
    ...common(machine.threads),
    name: 'wasm',
    module: best.module,
    reason: options.module ? `${best.module} was asked for` : reasonFor(best, trials),
    plan: planReport(options, timed, cache),
    selfTest: trials.map(({ module, ok, gflops, detail }) => ({ module, ok, gflops, detail })),
  };
  open = { machine, cache, report };
  return report;
}

/** Tests and times every kernel module, whichever is in use. */
export async function testModules(): Promise<EngineReport['selfTest']> {
  const trials = await tryModules(MODULES);
  return trials.map(({ module, ok, gflops, detail }) => ({ module, ok, gflops, detail }));
}

/** Stops the threads and forgets the backend; its tensors cannot be used any more. */
export async function closeEngine(): Promise<void> {
  const closing = open;
  open = undefined;
  if (!closing?.machine) return;
  tf.removeBackend(BACKEND_NAME);
  await closing.machine.close();
  const timed = closing.machine.plan.timedNow();
  if (Object.keys(timed).length > 0) await keep(closing.cache, timed);
}

/** The engine that is open. */
export function currentEngine(): EngineReport | undefined {
  return open?.report;
}

/** The algorithm of every convolution so far, by shape and pass: recorded with a run so that it can be replayed. */
export function enginePlan(): RecordedPlan | undefined {
  return open?.machine?.plan.used();
}

/** What the engine's memory holds. Undefined where tfjs's own backend computes. */
export function engineMemory(): EngineMemory | undefined {
  const heap = open?.machine?.heap;
  return (
    heap && {
      inUse: heap.bytesInUse,
      reserved: heap.bytesReserved,
      peak: heap.peakBytesInUse,
      atMost: heap.bytesAtMost,
    }
  );
}

/** From now on, the peak of {@link engineMemory} counts anew. */
export function resetEnginePeak(): void {
  open?.machine?.heap.resetPeak();
}

/** The machine of the open engine, for what measures single kernels. @throws Error without the wasm engine */
export function engineMachine(): Machine {
  if (!open?.machine) throw new Error('No wasm engine is open.');
  return open.machine;
}

/** Does work and says where its time went. Undefined where tfjs's own backend computes. */
export function profiled<T>(work: () => T): { readonly result: T; readonly profile?: Profile } {
  const pool = open?.machine?.pool;
  if (!pool) return { result: work() };
  const profile = new Profile();
  pool.profile = profile;
  try {
    return { result: work(), profile };
  } finally {
    pool.profile = undefined;
  }
}

/** GFLOP/s that all threads reach together on registers alone: the best of a few tries. Undefined on the cpu engine. */
export function measurePeak(): number | undefined {
  return open?.machine && timePeak(open.machine);
}

/** A cache that cannot be written costs time only. */
async function keep(cache: PlanCache | undefined, timed: RecordedPlan): Promise<void> {
  try {
    await cache?.add(timed);
  } catch {
    // A home directory without space or rights: the next run times again.
  }
}

function planReport({ plan, tune }: EngineOptions, timed: RecordedPlan, cache: PlanCache): PlanReport {
  const known = Object.keys(plan ?? timed).length;
  const source = plan ? 'recorded' : known > 0 ? 'timed' : 'estimated';
  return { source, known, cache: cache.path, tune: tune ?? false };
}

function common(threads: number): { threads: number; node: string } {
  return { threads, node: process.version };
}

function checkOptions({ engine, module, threads }: EngineOptions): void {
  if (module && engine === 'cpu')
    throw new InputError(`The engine "cpu" has no kernel module "${module}". Leave out one of the two.`);
  if (module && !MODULES.some(({ name }) => name === module))
    throw new InputError(
      `There is no kernel module "${module}"; choose one of ${MODULES.map(({ name }) => name).join(', ')}.`,
    );
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= 256))
    throw new InputError(`threads must be a whole number from 1 to 256, not ${threads}.`);
}

/** Where the system refuses, the work is only less polite. */
function lowerPriority(): void {
  try {
    setPriority(constants.priority.PRIORITY_LOW);
  } catch {
    // Not permitted here.
  }
}

/** Turns that the modules take at being timed: what else the machine does must not decide which is the fastest. */
const TIMING_ROUNDS = 4;

async function tryModules(modules: readonly KernelModule[]): Promise<Trial[]> {
  const opened: { readonly trial: Trial; readonly machine?: Machine; best: number }[] = [];
  try {
    for (const module of modules) opened.push({ ...(await tryModule(module)), best: 0 });
    for (let round = 0; round < TIMING_ROUNDS; round++)
      for (const one of opened)
        if (one.trial.ok && one.machine)
          one.best = Math.max(one.best, timeConvolution(one.machine, TIMING_MS / TIMING_ROUNDS));
    return opened.map(({ trial, best }) => ({ ...trial, gflops: Math.round(best * 10) / 10 }));
  } finally {
    for (const { machine } of opened) await machine?.close();
  }
}

/** Compiles a module and tests it; the machine that computed is the caller's to close. */
async function tryModule(module: KernelModule): Promise<{ trial: Trial; machine?: Machine }> {
  const failed = { module: module.name, ok: false, gflops: 0 };
  let machine: Machine | undefined;
  try {
    const result = compileModule(module);
    if ('reason' in result) return { trial: { ...failed, detail: result.reason } };
    machine = await Machine.open(result.compiled, 1, TRIAL_PAGES);
    const { ok, detail } = selfTest(machine);
    const trial = { ...failed, ok, detail, compiled: ok ? result.compiled : undefined };
    return { trial, machine };
  } catch (error) {
    await machine?.close();
    return { trial: { ...failed, detail: messageOf(error) } };
  }
}

function reasonFor(best: Trial, trials: readonly Trial[]): string {
  const others = trials.filter((trial) => trial !== best);
  const said = others.map((t) => (t.ok ? `${t.module} ${t.gflops}` : `${t.module} not usable: ${t.detail}`));
  return `fastest correct kernels on one thread: ${best.module} ${best.gflops} GFLOP/s (${said.join('; ')})`;
}

function noModule(options: EngineOptions, trials: readonly Trial[]): string {
  const said = trials.map(({ module, detail }) => `${module}: ${detail}`).join('; ');
  const asked = options.module
    ? 'The kernel module that was asked for does not run here'
    : 'No kernel module runs here';
  return `${asked} (${said}). Use a newer Node, or engine "cpu", which is slow.`;
}

/** Cores, counting hyper-threads once, as far as the system says and this process may use them. */
export function physicalCores(): number {
  const usable = availableParallelism();
  const folder = '/sys/devices/system/cpu';
  if (existsSync(folder)) {
    const cores = new Set<string>();
    for (const name of readdirSync(folder)) {
      const siblings = `${folder}/${name}/topology/thread_siblings_list`;
      if (/^cpu\d+$/.test(name) && existsSync(siblings)) cores.add(readFileSync(siblings, 'utf8').trim());
    }
    if (cores.size > 0) return Math.min(usable, cores.size);
  }
  // Elsewhere x64 usually means two hyper-threads per core, and ARM one.
  return process.arch === 'x64' ? Math.max(1, Math.ceil(usable / 2)) : usable;
}
