import * as v from 'valibot';
import { CancellationTokenSource, Emitter, ResponseError, type Event } from 'vscode-jsonrpc/node';
import {
  COMPUTE,
  COMPUTE_ERROR,
  USUAL_SETTINGS,
  type ComputeMethod,
  type ComputeParams,
  type ComputeResult,
  type ComputeSettings,
  type EngineReportMessage,
  type Progress,
} from '../../protocol/compute';
import type { Runtime } from '../runtime/runtime';
import { ComputeChild } from './child';
import { ComputeError, type Activity } from './compute';
import { doing, type Doing } from './doing';
import { engineSentence } from './engine-text';

export interface SupervisorLog {
  info(line: string): void;
  warn(line: string): void;
  error(line: string): void;
  process(pid: number | undefined, command: string, ended: string, milliseconds: number): void;
}

export interface SupervisorOptions {
  /** dist/compute/main.js */
  readonly main: string;
  /** Which Node.js; asked before every start. */
  readonly runtime: () => Promise<Runtime>;
  readonly log: SupervisorLog;
  /** How long a cancelled request may go on before its process is ended. */
  readonly graceMs?: number;
  /** After this time without a request the process ends, and with it what it keeps in memory. */
  readonly idleMs?: number;
}

export interface AskOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  readonly timeoutMs?: number;
}

/** A request that is not answered yet. */
interface Pending extends Doing {
  progress: Progress | undefined;
}

/** A single layer of a large scan may take seconds, and cannot be interrupted. */
const GRACE_MS = 8000;

/** A network and its activations are gigabytes; a process without them starts again in half a second. */
const IDLE_MS = 15 * 60_000;

/** A process that has been asked to end is given this long. */
const REST_MS = 2000;

/**
 * Default time limits. Work on voxels is long on a laptop; headers on a cluster's disk are not instant; a GPU in software
 * on a busy machine takes minutes to be tested.
 */
const LIMIT_MS: Readonly<Record<ComputeMethod, number>> = {
  engine: 180_000,
  header: 30_000,
  statistics: 600_000,
  cohort: 300_000,
  model: 120_000,
  predict: 3_600_000,
  explain: 3_600_000,
  checkpoint: 120_000,
  tensors: 600_000,
  match: 120_000,
  changes: 600_000,
  filters: 120_000,
  layers: 60_000,
  identify: 1_800_000,
  planImport: 1_800_000,
  importWeights: 1_800_000,
  shutdown: REST_MS,
};

/** The process that a request was sent to has made way for another one: the request is sent again. */
const REPLACED = Symbol('replaced');

/** How often a request is sent again before it is given up. */
const MOST_ATTEMPTS = 3;

/**
 * Keeps one compute process: starts it at the first request, starts another when it has ended, and sees to it that every
 * request is answered, with a result or with a sentence. Knows nothing of the editor.
 */
export class ComputeSupervisor {
  private child?: ComputeChild;
  private starting?: Promise<ComputeChild>;
  private readonly pending = new Set<Pending>();
  /** Processes that were ended on purpose, and why. */
  private readonly sentAway = new WeakMap<ComputeChild, string>();
  private settings: ComputeSettings = USUAL_SETTINGS;
  /** Why the present process is to make way for another as soon as it is idle. */
  private stale?: string;
  private crashed?: string;
  private idle?: NodeJS.Timeout;
  private disposed = false;
  private readonly closing = new AbortController();
  private readonly activities = new Emitter<Activity>();
  private readonly engines = new Emitter<EngineReportMessage>();
  readonly onActivity: Event<Activity> = this.activities.event;
  readonly onEngine: Event<EngineReportMessage> = this.engines.event;
  /** The engine of the present process, once it has computed. */
  engine?: EngineReportMessage;

  constructor(private readonly options: SupervisorOptions) {}

  get activity(): Activity {
    const [first] = this.pending;
    if (first)
      return { kind: 'busy', what: first.now, progress: first.progress, requests: this.pending.size };
    if (this.child) return { kind: 'idle' };
    return this.crashed === undefined ? { kind: 'stopped' } : { kind: 'crashed', sentence: this.crashed };
  }

  /** The process's id, where there is one. */
  get pid(): number | undefined {
    return this.child?.pid;
  }

  /** @throws ComputeError, always with a sentence for people */
  async request<M extends ComputeMethod>(
    method: M,
    params: ComputeParams<M>,
    options: AskOptions = {},
  ): Promise<ComputeResult<M>> {
    const words = doing(method, params);
    const one: Pending = { ...words, progress: undefined };
    const began = performance.now();
    const note = (how: string, level: 'info' | 'warn' | 'error' = 'info') =>
      this.options.log[level](
        `${method}: ${words.now} ${how} after ${Math.round(performance.now() - began)} ms`,
      );
    clearTimeout(this.idle);
    this.pending.add(one);
    this.tell();
    try {
      const raw = await this.answer(method, params, one, options);
      const result = checkedResult(method, raw);
      note('done');
      return result;
    } catch (error) {
      const failure = asComputeError(error, words);
      if (failure.kind === 'cancelled') note('cancelled');
      else note(`failed: ${failure.message}`, failure.kind === 'input' ? 'warn' : 'error');
      throw failure;
    } finally {
      this.pending.delete(one);
      this.restWhenStale();
      this.restWhenIdle();
      this.tell();
    }
  }

  /** How to compute from now on. A process with other settings makes way for another when it is idle. */
  change(part: Partial<ComputeSettings>): void {
    const settings = { ...this.settings, ...part };
    const { settings: before } = this;
    const names = Object.keys(settings) as (keyof ComputeSettings)[];
    if (names.every((name) => settings[name] === before[name])) return;
    this.settings = settings;
    const pace = settings.background ? 'in the background' : 'at full speed';
    this.renew(settings.background === before.background ? 'with other settings' : pace);
  }

  /** Has the process make way for another when it is idle. @param how the other one goes on */
  renew(how: string): void {
    if (this.child === undefined && this.starting === undefined) return;
    this.stale = `ended to go on ${how}`;
    this.restWhenStale();
  }

  /** Ends the process; requests that are not answered yet end with a sentence. */
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    clearTimeout(this.idle);
    this.closing.abort();
    this.endChild('ended with FCD Lens');
    this.activities.dispose();
    this.engines.dispose();
  }

  private async answer<M extends ComputeMethod>(
    method: M,
    params: ComputeParams<M>,
    one: Pending,
    options: AskOptions,
  ): Promise<unknown> {
    const { signal, onProgress, timeoutMs = LIMIT_MS[method] } = options;
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(), timeoutMs);
    const stop = AbortSignal.any([this.closing.signal, limit.signal, ...(signal ? [signal] : [])]);
    const why = (): ComputeError => {
      if (this.closing.signal.aborted) return new ComputeError('refused', 'FCD Lens has been closed.');
      if (signal?.aborted) return new ComputeError('cancelled', `Cancelled while ${one.now}.`);
      return new ComputeError(
        'timeout',
        `The compute process has not ${one.then} within ${Math.round(timeoutMs / 100) / 10} s and was told to stop. Try once more; where the disk or the machine is slow, it may need longer.`,
      );
    };
    const progress = (value: Progress): void => {
      if (stop.aborted) return;
      one.progress = value;
      onProgress?.(value);
      this.tell();
    };
    try {
      for (let attempt = 1; ; attempt++) {
        if (stop.aborted) throw why();
        const child = await orStopped(this.running(), stop, why);
        const answer = await this.ask(child, method, params, one, progress, stop, why);
        if (answer !== REPLACED) return answer;
        if (attempt === MOST_ATTEMPTS)
          throw new ComputeError(
            'ended',
            `The compute process was ended ${attempt} times before it ${one.then}. Try once more; the log tells why it was ended.`,
          );
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Sends a request to one process and waits for its answer, its end, or the caller's losing interest. */
  private async ask<M extends ComputeMethod>(
    child: ComputeChild,
    method: M,
    params: ComputeParams<M>,
    one: Pending,
    onProgress: (progress: Progress) => void,
    stop: AbortSignal,
    why: () => ComputeError,
  ): Promise<unknown> {
    const source = new CancellationTokenSource();
    const answered = child.send(method, params, source.token, onProgress);
    // After `ended`, which follows the process from its start: by then another one is on its way.
    const lost = child.ended.then((how) => this.lost(child, how, one));
    try {
      return await orStopped(Promise.race([lost, this.orEnded(answered, lost)]), stop, why);
    } catch (error) {
      if (stop.aborted) {
        source.cancel();
        this.requireEnd(child, answered, one);
      }
      throw error;
    } finally {
      // The connection of a process that has ended rejects what was asked of it: nobody waits for that any more.
      answered.catch(() => {});
      lost.catch(() => {});
    }
  }

  /** An answer; where the channel broke instead, the end of the process says more. */
  private async orEnded(answered: Promise<unknown>, lost: Promise<unknown>): Promise<unknown> {
    try {
      return await answered;
    } catch (error) {
      if (error instanceof ResponseError && KNOWN_CODES.has(error.code)) throw error;
      return lost;
    }
  }

  /** What a request comes to whose process has ended. */
  private lost(child: ComputeChild, how: string, one: Pending): typeof REPLACED {
    if (this.sentAway.has(child)) return REPLACED;
    if (!child.ready) throw new ComputeError('ended', notStarted(child, how));
    throw new ComputeError(
      'ended',
      `The compute process ended (${how}) while it ${one.then}; it has been started again, try once more.`,
    );
  }

  /** A cancelled job that goes on blocks those behind it: after a while its process makes way for another. */
  private requireEnd(child: ComputeChild, answered: Promise<unknown>, one: Pending): void {
    const { graceMs = GRACE_MS, log } = this.options;
    const timer = setTimeout(() => {
      log.warn(
        `The compute process went on ${one.now} for ${graceMs} ms after it was told to stop, so it was ended; another one takes over.`,
      );
      this.sendAway(child, 'ended because it did not stop a cancelled job');
      if (this.pending.size > 0) this.restart();
    }, graceMs);
    const settled = (): void => clearTimeout(timer);
    answered.then(settled, settled);
    void child.ended.then(settled);
  }

  private async running(): Promise<ComputeChild> {
    if (this.child) return this.child;
    this.starting ??= this.start().finally(() => (this.starting = undefined));
    return this.starting;
  }

  private async start(): Promise<ComputeChild> {
    const { main, log } = this.options;
    this.stale = undefined;
    const runtime = await this.options.runtime();
    if (this.disposed) throw new ComputeError('refused', 'FCD Lens has been closed.');
    const { settings } = this;
    const child = new ComputeChild(
      { main, runtime, settings },
      {
        onLine: (line) => log.warn(`#${child.pid ?? '?'} ${line}`),
        onEngine: (report) => {
          if (this.child !== child) return;
          this.engine = report;
          log.info(`#${child.pid ?? '?'} computes with ${engineSentence(report)}: ${report.reason}`);
          this.engines.fire(report);
        },
      },
    );
    const mode = settings.background ? ', in the background' : '';
    log.info(`#${child.pid ?? '?'} compute process on Node.js ${runtime.version}${mode}`);
    this.child = child;
    this.crashed = undefined;
    void child.ended.then((how) => this.ended(child, how));
    this.tell();
    return child;
  }

  private ended(child: ComputeChild, how: string): void {
    const { log } = this.options;
    const sentAway = this.sentAway.get(child);
    log.process(child.pid, 'compute process', sentAway ?? `ended (${how})`, child.milliseconds);
    if (this.child === child) this.forget();
    if (sentAway !== undefined || this.disposed) return;
    const busy = this.pending.size > 0;
    this.crashed = child.ready
      ? `The compute process ended (${how}).${busy ? '' : ' The next request starts it again.'}`
      : notStarted(child, how);
    log.error(this.crashed);
    this.activities.fire({ kind: 'crashed', sentence: this.crashed });
    // One that never was ready would end again.
    if (busy && child.ready) this.restart();
  }

  private restart(): void {
    this.running().catch((error: unknown) =>
      this.options.log.error(`The compute process could not be started again: ${messageOf(error)}`),
    );
  }

  private restWhenStale(): void {
    const { stale, child } = this;
    if (stale === undefined || this.pending.size > 0 || !child) return;
    this.rest(child, stale);
  }

  private restWhenIdle(): void {
    const { idleMs = IDLE_MS } = this.options;
    clearTimeout(this.idle);
    if (this.pending.size > 0 || this.disposed) return;
    this.idle = setTimeout(() => {
      if (this.child) this.rest(this.child, 'ended after a while without work');
    }, idleMs);
    this.idle.unref();
  }

  /** Lets a process that has nothing to do end. */
  private rest(child: ComputeChild, why: string): void {
    this.stale = undefined;
    this.sentAway.set(child, why);
    this.forget();
    const timer = setTimeout(() => child.kill(), REST_MS);
    void child.ended.then(() => clearTimeout(timer));
    child.send('shutdown', {}, new CancellationTokenSource().token, () => {}).catch(() => child.kill());
    this.tell();
  }

  private endChild(why: string): void {
    if (this.child) this.sendAway(this.child, why);
  }

  private sendAway(child: ComputeChild, why: string): void {
    this.sentAway.set(child, why);
    child.kill();
    if (this.child === child) this.forget();
    this.tell();
  }

  private forget(): void {
    this.child = undefined;
    this.engine = undefined;
  }

  private tell(): void {
    if (!this.disposed) this.activities.fire(this.activity);
  }
}

/** Errors that the process itself answered with. */
const KNOWN_CODES = new Set<number>(Object.values(COMPUTE_ERROR));

function notStarted(child: ComputeChild, how: string): string {
  const words = child.lastWords;
  return `The compute process could not be started (${how}${words ? `: ${words}` : ''}). Check the setting fcd.node.path; the log (FCD: Show Log) has more.`;
}

function checkedResult<M extends ComputeMethod>(method: M, raw: unknown): ComputeResult<M> {
  const result = v.safeParse(COMPUTE[method].result, raw);
  if (result.success) return result.output as ComputeResult<M>;
  const [issue] = result.issues;
  throw new ComputeError(
    'unexpected',
    `The compute process answered "${method}" in a form that FCD Lens does not know (${v.getDotPath(issue) ?? 'the whole'}: ${issue.message}). Reload the window; if it happens again, reinstall the extension.`,
  );
}

function asComputeError(error: unknown, { now }: Doing): ComputeError {
  if (error instanceof ComputeError) return error;
  if (error instanceof ResponseError) {
    const { code, message } = error;
    if (code === COMPUTE_ERROR.input) return new ComputeError('input', message, { cause: error });
    if (code === COMPUTE_ERROR.cancelled) return new ComputeError('cancelled', `Cancelled while ${now}.`);
    return new ComputeError('unexpected', message, { cause: error });
  }
  // A wrong setting, a runtime that cannot be started.
  return new ComputeError('refused', messageOf(error), { cause: error });
}

/** A promise, or the error of `why` as soon as the signal is aborted. */
function orStopped<T>(promise: Promise<T>, stop: AbortSignal, why: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    const onStop = (): void => reject(why());
    if (stop.aborted) onStop();
    stop.addEventListener('abort', onStop, { once: true });
    promise.then(resolve, reject).finally(() => stop.removeEventListener('abort', onStop));
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
