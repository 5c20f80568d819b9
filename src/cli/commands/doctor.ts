import { cpus, totalmem } from 'node:os';
import type { Command } from 'commander';
import { closeEngine, openEngine } from '../../core/engine/choose';
import type { EngineReport, PlanReport } from '../../core/engine/engine';
import { tryGpu } from '../../core/engine/webgpu/try-gpu';
import { againstUse, type GpuVerdict } from '../../core/engine/webgpu/verdict';
import { VERSION } from '../../core/version';
import { engineName, tellUnusedLimit } from '../engine';
import { addEngineOptions, type EngineFlags } from '../options';
import { print, printJson, table } from '../terminal';

export interface DoctorReport {
  readonly version: string;
  readonly runtime: { readonly node: string; readonly path: string; readonly reason: string };
  readonly machine: {
    readonly cpu: string;
    readonly logicalCores: number;
    readonly memoryGb: number;
    readonly platform: string;
  };
  readonly engine: EngineReport;
  /** How a trial of the GPU in a process of its own ended, and why it is not taken unless it is asked for. */
  readonly gpu: GpuVerdict & { readonly against: string | null };
}

export function addDoctor(fcd: Command): void {
  const command = fcd
    .command('doctor')
    .description('which runtime and engine compute here, why, and whether they compute rightly')
    .option('--json', 'JSON on standard output');
  addEngineOptions(command).action(async (flags: EngineFlags & { json?: boolean }) => {
    // Apart from what is chosen, and never within this process: a faulty driver takes it down.
    const verdict = await tryGpu();
    const engine = await openEngine(flags);
    await closeEngine();
    tellUnusedLimit(engine, flags);
    const report: DoctorReport = {
      version: VERSION,
      runtime: {
        node: process.version,
        path: process.execPath,
        reason: process.env.FCD_RUNTIME_REASON ?? 'the Node that started fcd',
      },
      machine: {
        cpu: cpus()[0]?.model ?? 'unknown',
        logicalCores: cpus().length,
        memoryGb: Math.round((totalmem() / 2 ** 30) * 10) / 10,
        platform: `${process.platform}-${process.arch}`,
      },
      engine,
      gpu: { ...verdict, against: againstUse(verdict) ?? null },
    };
    if (flags.json) printJson(report);
    else print(forPeople(report));
  });
}

function forPeople({ version, runtime, machine, engine, gpu }: DoctorReport): string {
  const used = engine.module ?? (engine.precision === 'f16' ? `${engine.name} f16` : engine.name);
  const tests = engine.selfTest.map((test) => [
    test.module === used ? `* ${test.module}` : `  ${test.module}`,
    test.ok ? 'right' : 'not usable',
    test.ok ? test.gflops.toFixed(0) : '',
    test.detail,
  ]);
  return [
    `FCD Lens ${version}`,
    `Runtime  Node ${runtime.node} (${runtime.reason})`,
    `Machine  ${machine.cpu}, ${machine.logicalCores} logical cores, ${machine.memoryGb} GB, ${machine.platform}`,
    `Engine   ${engineName(engine)}: ${engine.reason}`,
    ...(engine.plan ? [`Plan     ${planLine(engine.plan)}`] : []),
    ...(engine.passedBy ?? []).map(({ name, reason }) => `         not ${name}: ${reason}`),
    ...gpuLines(gpu),
    ...(tests.length > 0 ? ['', table(['  module', 'self-test', 'GFLOP/s', 'detail'], tests)] : []),
  ].join('\n');
}

/** What the GPU is, and what of it matters to networks. */
function gpuLines({ right, detail, gflops, adapter }: GpuVerdict): string[] {
  if (!adapter) return [`GPU      ${detail}`];
  const { description, dawn, software, features, limits } = adapter;
  const gb = (bytes: number) => (bytes / 2 ** 30).toFixed(1);
  const { maxBufferSize, maxStorageBufferBindingSize } = limits;
  return [
    `GPU      ${description}${software ? ' (software)' : ''}, Dawn ${dawn}: ${right ? `right, ${gflops.toPrecision(3)} GFLOP/s in a convolution` : 'not usable'}; ${detail}`,
    `         ${features.includes('shader-f16') ? 'half precision (--precision f16) as well as single' : 'single precision alone (no shader-f16)'}`,
    `         a tensor at most ${gb(Math.min(maxBufferSize, maxStorageBufferBindingSize))} GB; ${features.join(', ') || 'no optional features'}`,
  ];
}

/** How the convolutions' algorithms are chosen. */
function planLine({ source, known, cache, detail }: PlanReport): string {
  const also = detail === undefined ? '' : `; ${detail}`;
  if (source === 'estimated')
    return `algorithms of convolutions by estimate: none has been timed on this machine yet (training does; they are kept in ${cache})${also}`;
  return `algorithms of ${known} convolutions as they were fastest on this machine (${cache}); others by estimate${also}`;
}
