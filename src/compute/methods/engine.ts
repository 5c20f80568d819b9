import type { EngineReport } from '../../core/engine/engine';
import type { EngineReportMessage } from '../../protocol/compute';

/** An engine's report as the editor is told it. */
export function engineMessage(report: EngineReport, background: boolean): EngineReportMessage {
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
