import type { EngineReportMessage } from '../../protocol/compute';

/** What the compute process and the tasks of this window are doing, as far as the status bar tells it. */
export interface Doing {
  readonly engine: Pick<EngineReportMessage, 'engine' | 'module' | 'threads' | 'precision'> | undefined;
  readonly busy: { readonly what: string; readonly fraction: number | null } | undefined;
  readonly crashed: string | undefined;
  /** Processes that tasks of this window run. */
  readonly tasks: number;
  /** How the one run that they compute goes: `epoch 3/6`, and the time that is left. */
  readonly run: string | undefined;
}

/** `$(beaker) FCD simd256 · 2 threads · training 1 run`. */
export function statusText({ engine, busy, crashed, tasks, run }: Doing): string {
  const icon = crashed !== undefined ? '$(warning)' : busy || tasks > 0 ? '$(loading~spin)' : '$(beaker)';
  const parts = [
    engine && engineText(engine),
    busy && busy.what + (busy.fraction === null ? '' : ` ${Math.floor(busy.fraction * 100)} %`),
    tasks > 0 && run,
    tasks > 0 && !(tasks === 1 && run) && `${tasks} ${tasks === 1 ? 'task' : 'tasks'} running`,
    crashed !== undefined && 'compute process ended',
    !busy && tasks === 0 && crashed === undefined && 'idle',
  ];
  return `${icon} FCD ${parts.filter(Boolean).join(' · ')}`;
}

/** `simd256 · 2 threads`; `webgpu f16`: on a GPU precision is a choice, and threads say nothing. */
function engineText({ engine, module, threads, precision }: NonNullable<Doing['engine']>): string {
  if (engine === 'webgpu') return `${engine} ${precision}`;
  return `${module ?? engine} · ${threads} ${threads === 1 ? 'thread' : 'threads'}`;
}
