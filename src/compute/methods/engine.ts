import { testModules } from '../../core/engine/wasm/open';
import type { EngineOptions, EngineReport } from '../../core/engine/engine';
import type { ComputeSettings, EngineReportMessage } from '../../protocol/compute';
import type { Job } from '../job';
import type { Resident } from '../resident';

/** The engine that computes here, opened by now, and how every kernel module does beside it. */
export function engine(
  settings: ComputeSettings,
  job: Job,
  resident: Resident,
): Promise<EngineReportMessage> {
  return resident.alone(job, async () => {
    job.say('Starting the engine');
    const report = engineMessage(await resident.openEngine(), settings);
    if (settings.engine === 'auto') return report;
    job.say('Testing all kernels');
    await job.breathe();
    return { ...report, selfTest: (await testModules()).map((trial) => ({ ...trial })) };
  });
}

/** What the engine is to be opened with. In the background one thread that never waits spinning for others. */
export function engineOptions({ background, engine, threads }: ComputeSettings): EngineOptions {
  const wanted = background ? 1 : threads;
  return {
    ...(wanted > 0 && { threads: wanted }),
    ...(engine === 'cpu' ? { engine: 'cpu' } : engine !== 'auto' && { module: engine }),
  };
}

/** An engine's report as the editor is told it. */
export function engineMessage(report: EngineReport, { background }: ComputeSettings): EngineReportMessage {
  return {
    engine: report.name,
    module: report.module ?? null,
    threads: report.threads,
    node: report.node,
    reason: report.reason,
    background,
    selfTest: report.selfTest.map((trial) => ({ ...trial })),
  };
}
