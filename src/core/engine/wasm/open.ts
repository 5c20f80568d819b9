import { constants, cpus, setPriority } from 'node:os';
import * as tf from '@tensorflow/tfjs-core';
import { InputError, messageOf } from '../../errors';
import { physicalCores } from '../cores';
import type { EngineOptions, EngineReport, PlanReport } from '../engine';
import type { OpenedEngine } from '../opened-engine';
import { PlanCache } from '../plan-cache';
import { BACKEND_NAME, WasmBackend } from './backend';
import { ConvPlan, type RecordedPlan } from './conv-plan';
import { registerKernels } from './kernels';
import { Machine } from './machine';
import { MODULES, compileModule, kernelBuild, type KernelModule } from './modules';
import { TIMING_MS, selfTest, timeConvolution } from './self-test';

/** Memory of a trial: 64 MiB. */
const TRIAL_PAGES = 1024;

interface Trial {
  readonly module: string;
  readonly ok: boolean;
  readonly gflops: number;
  readonly detail: string;
  readonly compiled?: WebAssembly.Module;
}

/**
 * Every kernel module that this Node can run is tested against double precision and timed for a moment, and the fastest
 * correct one is taken.
 */
export async function openWasm(options: EngineOptions): Promise<OpenedEngine> {
  // Before threads are started: on Linux each has a priority of its own and inherits it.
  if (options.background) lowerPriority();
  const candidates = MODULES.filter((module) => !options.module || module.name === options.module);
  const trials = await tryModules(candidates);
  const best = trials.filter((trial) => trial.ok).sort((a, b) => b.gflops - a.gflops)[0];
  if (!best?.compiled) throw new InputError(noModule(options, trials));

  const threads = options.threads ?? (options.background ? 1 : physicalCores());
  const cache = new PlanCache('convolutions', {
    cpu: cpus()[0]?.model ?? 'unknown',
    module: best.module,
    threads,
    node: process.versions.node,
    kernels: kernelBuild(),
  });
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
  const { heap } = machine;
  return {
    report: {
      name: 'wasm',
      module: best.module,
      precision: 'f32',
      threads: machine.threads,
      node: process.version,
      reason: options.module ? `${best.module} was asked for` : reasonFor(best, trials),
      plan: planReport(options, timed, cache),
      selfTest: trials.map(({ module, ok, gflops, detail }) => ({ module, ok, gflops, detail })),
    },
    machine,
    plan: () => machine.plan.used(),
    memory: () => ({
      inUse: heap.bytesInUse,
      reserved: heap.bytesReserved,
      peak: heap.peakBytesInUse,
      atMost: heap.bytesAtMost,
    }),
    resetPeak: () => heap.resetPeak(),
    close: async () => {
      tf.removeBackend(BACKEND_NAME);
      await machine.close();
      await cache.keep(machine.plan.timedNow());
    },
  };
}

/** @throws InputError for a kernel module that does not exist */
export function requireModule(module: string): void {
  if (!MODULES.some(({ name }) => name === module))
    throw new InputError(
      `There is no kernel module "${module}"; choose one of ${MODULES.map(({ name }) => name).join(', ')}.`,
    );
}

/** Tests and times every kernel module, whichever is in use. */
export async function testModules(): Promise<EngineReport['selfTest']> {
  const trials = await tryModules(MODULES);
  return trials.map(({ module, ok, gflops, detail }) => ({ module, ok, gflops, detail }));
}

function planReport({ plan, tune }: EngineOptions, timed: RecordedPlan, cache: PlanCache): PlanReport {
  const known = Object.keys(plan ?? timed).length;
  const source = plan ? 'recorded' : known > 0 ? 'timed' : 'estimated';
  return { source, known, cache: cache.path, tune: tune ?? false };
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
