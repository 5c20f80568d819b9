import type { EngineReportMessage } from '../../protocol/compute';
import { engineSentence, threadsText, type Computing } from '../compute/engine-text';

/** What the compute process and the tasks of this window are doing, as far as the status bar tells it. */
export interface Doing {
  readonly engine: Computing | undefined;
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
function engineText({ engine, module, threads, precision }: Computing): string {
  if (engine === 'webgpu') return `${engine} ${precision}`;
  return `${module ?? engine} · ${threadsText(threads)}`;
}

/** What the tooltip tells beside {@link Doing}. */
export interface Details {
  /** Names of the tasks of this window. */
  readonly tasks: readonly string[];
  /** How the one run that they compute goes, and with what. */
  readonly run: { readonly progress: string; readonly engine: Computing | undefined } | undefined;
  /** The editor's own process: what it does, a sentence. */
  readonly state: string;
  readonly engine: EngineReportMessage | undefined;
}

/** Facts about what computes, each with what it is: tasks first, then the editor's own process. */
export function statusFacts({ tasks, run, state, engine }: Details): (readonly [string, string])[] {
  const facts: (readonly [string, string | false | undefined])[] = [
    ...tasks.map((name) => ['Task', run && tasks.length === 1 ? `${name}: ${run.progress}` : name] as const),
    ['Task computes with', run?.engine && engineSentence(run.engine)],
    ['Compute process', state],
    ...(engine ? engineFacts(engine) : [['Engine', 'chosen when the editor first computes'] as const]),
  ];
  return facts.flatMap(([name, value]) => (value ? [[name, value] as const] : []));
}

function engineFacts(report: EngineReportMessage): (readonly [string, string | false])[] {
  const { engine, module, threads, precision, node, reason, background } = report;
  return [
    ['Engine', module ? `${engine} ${module}` : engine],
    [
      'Threads',
      engine !== 'webgpu' &&
        (background ? `${threads}, at low priority: a task has the machine` : `${threads}`),
    ],
    [
      'Precision',
      precision === 'f16' ? 'f16: convolutions multiply in half precision' : 'f32: single precision',
    ],
    ['Node.js', node],
    ['Why', reason],
  ];
}
