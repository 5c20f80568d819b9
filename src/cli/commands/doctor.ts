import { cpus, totalmem } from 'node:os';
import type { Command } from 'commander';
import { closeEngine, openEngine } from '../../core/engine/choose';
import type { EngineReport, PlanReport } from '../../core/engine/engine';
import { VERSION } from '../../core/version';
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
}

export function addDoctor(fcd: Command): void {
  const command = fcd
    .command('doctor')
    .description('which runtime and engine compute here, why, and whether they compute rightly')
    .option('--json', 'JSON on standard output');
  addEngineOptions(command).action(async (flags: EngineFlags & { json?: boolean }) => {
    const engine = await openEngine(flags);
    await closeEngine();
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
    };
    if (flags.json) printJson(report);
    else print(forPeople(report));
  });
}

function forPeople({ version, runtime, machine, engine }: DoctorReport): string {
  const tests = engine.selfTest.map((test) => [
    test.module === engine.module ? `* ${test.module}` : `  ${test.module}`,
    test.ok ? 'right' : 'not usable',
    test.ok ? test.gflops.toFixed(0) : '',
    test.detail,
  ]);
  return [
    `FCD Lens ${version}`,
    `Runtime  Node ${runtime.node} (${runtime.reason})`,
    `Machine  ${machine.cpu}, ${machine.logicalCores} logical cores, ${machine.memoryGb} GB, ${machine.platform}`,
    `Engine   ${engine.name}${engine.module ? ` ${engine.module}` : ''}, ${engine.threads} threads: ${engine.reason}`,
    ...(engine.plan ? [`Plan     ${planLine(engine.plan)}`] : []),
    ...(tests.length > 0 ? ['', table(['  module', 'self-test', 'GFLOP/s', 'detail'], tests)] : []),
  ].join('\n');
}

/** How the convolutions' algorithms are chosen. */
function planLine({ source, known, cache }: PlanReport): string {
  if (source === 'estimated')
    return `algorithms of convolutions by estimate: none has been timed on this machine yet (training does; they are kept in ${cache})`;
  return `algorithms of ${known} convolutions as they were fastest on this machine (${cache}); others by estimate`;
}
