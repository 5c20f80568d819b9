import { testModules } from '../../core/engine/wasm/open';
import { ENGINES, type EngineName, type EngineOptions, type EngineReport } from '../../core/engine/engine';
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
    const ofOthers = report.engine === 'wasm' ? [] : report.selfTest;
    return { ...report, selfTest: [...ofOthers, ...(await testModules()).map((trial) => ({ ...trial }))] };
  });
}

/**
 * What the engine is to be opened with. In the background one thread that never waits spinning for others, and of itself no
 * GPU, hence single precision.
 */
export function engineOptions(settings: ComputeSettings): EngineOptions {
  const { background, engine, threads, gpuMemory } = settings;
  const wanted = background ? 1 : threads;
  const precision = background && engine === 'auto' ? 'f32' : settings.precision;
  return {
    precision,
    ...(gpuMemory > 0 && { gpuMemory: gpuMemory * 2 ** 30 }),
    ...(wanted > 0 && { threads: wanted }),
    ...(isEngine(engine) ? { engine } : engine !== 'auto' && { module: engine }),
  };
}

const isEngine = (name: string): name is EngineName => (ENGINES as readonly string[]).includes(name);

/** An engine's report as the editor is told it. */
export function engineMessage(
  report: EngineReport,
  { background, gpuMemory }: ComputeSettings,
): EngineReportMessage {
  // A preference for all machines, and no mistake on one without a GPU: said where the engine is explained.
  const unused = gpuMemory > 0 && report.name !== 'webgpu';
  return {
    engine: report.name,
    module: report.module ?? null,
    threads: report.threads,
    precision: report.precision,
    node: report.node,
    reason: unused
      ? `${report.reason}; fcd.gpuMemory, which limits a GPU, has no effect on it`
      : report.reason,
    gpu:
      report.adapter?.description ?? report.passedBy?.find(({ name }) => name === 'webgpu')?.reason ?? null,
    background,
    selfTest: report.selfTest.map((trial) => ({ ...trial })),
  };
}
