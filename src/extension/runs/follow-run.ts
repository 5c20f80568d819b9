import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { pretrainingResultsSchema } from '../../protocol/pretraining';
import { resultsSchema, type MetricRecord } from '../../protocol/results';
import { parsePredictions } from '../../protocol/result-tables';
import { processSchema, runSchema, type ProcessRecord, type RunRecord } from '../../protocol/run';
import { EventTail } from './event-tail';
import { advance, NOTHING_YET, type RunProgress } from './run-progress';
import { lifeOf, processLives, stateOf, type Life, type RunState } from './run-state';

/** What a run or an experiment came to. */
export interface Outcome {
  readonly title: string;
  /** Null where it segments: then there is Dice instead. */
  readonly accuracy: MetricRecord | null;
  readonly auc: MetricRecord | null;
  /** Mean Heat-Score roi/brain of the first map. */
  readonly heatScore: MetricRecord | null;
  /** Mean Dice of a pre-training over its tasks, on held-out heads. */
  readonly dice: MetricRecord | null;
  readonly folds: number;
}

/** All that a row of the Runs view tells. */
export interface RunSnapshot {
  readonly path: string;
  /** Undefined where run.json cannot be read; then `fault` says why. */
  readonly record: RunRecord | undefined;
  readonly fault: string | undefined;
  readonly progress: RunProgress;
  readonly state: RunState;
  readonly process: ProcessRecord | undefined;
  readonly life: Life;
  readonly outcome: Outcome | undefined;
  /** Held-out cases of a finished run that it predicted rightly, of how many. */
  readonly heldOut: { readonly right: number; readonly n: number } | undefined;
  readonly hasReport: boolean;
  /** Lines of events.jsonl that are no events. */
  readonly unreadable: number;
}

/** The machine that looks: replaced in tests. */
export interface Observer {
  readonly host: string;
  readonly lives: (pid: number) => boolean;
  readonly now: () => number;
}

export function observerOn(host: string): Observer {
  return { host, lives: processLives, now: Date.now };
}

/** Follows the directory of one run; every {@link look} reads what was added since and nothing twice. */
export class FollowedRun {
  private readonly tail: EventTail;
  private readonly outcome: OutcomeFile;
  private progress = NOTHING_YET;
  private record: RunRecord | undefined;
  private fault: string | undefined;
  private recordStamp = '';
  private predictionsStamp: string | undefined;
  private heldOut: RunSnapshot['heldOut'];

  constructor(
    readonly path: string,
    private readonly observer: Observer,
  ) {
    this.tail = new EventTail(join(path, 'events.jsonl'));
    this.outcome = new OutcomeFile(path);
  }

  /** @returns undefined where the run was removed */
  async look(): Promise<RunSnapshot | undefined> {
    if (!(await this.readRecord())) return undefined;
    // The process first: one that ends between the two has written its last event before.
    const process = await readProcess(this.path);
    const life = lifeOf(process, this.observer.host, this.observer.lives);
    const unreadable = await this.readEvents();
    // Other programs write a run.json as well: what is no record of ours and has no events is no run.
    if (!this.record && this.progress.lastEvent === null) return undefined;
    const created = Date.parse(this.record?.created ?? '') || 0;
    const state = stateOf(this.progress, life, created, this.observer.now());
    return {
      path: this.path,
      record: this.record,
      fault: this.fault ?? unreadable,
      progress: this.progress,
      state: this.record ? state : 'failed',
      process,
      life,
      outcome: await this.outcome.read(),
      heldOut: state === 'finished' ? await this.readHeldOut() : undefined,
      hasReport: await exists(join(this.path, 'report.html')),
      unreadable: this.tail.unreadable,
    };
  }

  /** @returns why the events cannot be read: a disk may be away for a while, and the other runs are still to be seen */
  private async readEvents(): Promise<string | undefined> {
    try {
      const { events, restarted } = await this.tail.read();
      if (restarted) this.progress = NOTHING_YET;
      this.progress = events.reduce(advance, this.progress);
      return undefined;
    } catch (error) {
      return `events.jsonl cannot be read: ${error instanceof Error ? error.message : String(error)}.`;
    }
  }

  /** The counts are kept, so that a snapshot of the same file is the same. */
  private async readHeldOut(): Promise<RunSnapshot['heldOut']> {
    const path = join(this.path, 'predictions.csv');
    const stamp = await stampOf(path);
    if (stamp === this.predictionsStamp) return this.heldOut;
    this.predictionsStamp = stamp;
    const rows = stamp === undefined ? [] : parsePredictions(await readFile(path, 'utf8').catch(() => ''));
    const right = rows.filter(({ yTrue, yPred }) => yTrue === yPred).length;
    this.heldOut = rows.length > 0 ? { right, n: rows.length } : undefined;
    return this.heldOut;
  }

  private async readRecord(): Promise<boolean> {
    const path = join(this.path, 'run.json');
    const stamp = await stampOf(path);
    if (stamp === undefined) return false;
    if (stamp === this.recordStamp) return true;
    this.recordStamp = stamp;
    try {
      this.record = v.parse(runSchema, JSON.parse(await readFile(path, 'utf8')));
      this.fault = undefined;
    } catch (error) {
      this.record = undefined;
      this.fault =
        error instanceof v.ValiError
          ? `run.json: field "${v.getDotPath(error.issues[0]) ?? '?'}" is not valid: ${error.message}.`
          : `run.json cannot be read: ${error instanceof Error ? error.message : String(error)}.`;
    }
    return true;
  }
}

/** results.json of a run or an experiment, read again when it has changed. */
export class OutcomeFile {
  private stamp: string | undefined;
  private outcome: Outcome | undefined;

  constructor(private readonly directory: string) {}

  async read(): Promise<Outcome | undefined> {
    const path = join(this.directory, 'results.json');
    const stamp = await stampOf(path);
    if (stamp === this.stamp) return this.outcome;
    this.stamp = stamp;
    this.outcome = undefined;
    if (stamp === undefined) return undefined;
    try {
      this.outcome = outcomeOf(JSON.parse(await readFile(path, 'utf8')));
    } catch {
      // Of another version, or no results at all: the rows of the runs still tell what happened.
    }
    return this.outcome;
  }
}

/** @throws where these are neither the results of a training nor of a pre-training */
function outcomeOf(json: unknown): Outcome {
  const segmented = v.safeParse(pretrainingResultsSchema, json);
  if (segmented.success) {
    const { title, folds, mean } = segmented.output;
    const { mean: value, low, high, n } = mean;
    return {
      title,
      folds,
      accuracy: null,
      auc: null,
      heatScore: null,
      dice: { value, low, high, n, sources: n },
    };
  }
  const results = v.parse(resultsSchema, json);
  return {
    title: results.title,
    accuracy: results.metrics.accuracy,
    auc: results.metrics.auc,
    heatScore: results.maps[0]?.heatScore ?? null,
    dice: null,
    folds: results.folds,
  };
}

async function readProcess(directory: string): Promise<ProcessRecord | undefined> {
  try {
    const text = await readFile(join(directory, 'process.json'), 'utf8');
    return v.parse(processSchema, JSON.parse(text));
  } catch {
    return undefined; // nobody computes, or nobody who says so
  }
}

export async function exists(path: string): Promise<boolean> {
  return (await stampOf(path)) !== undefined;
}

/** Changes whenever the file does; undefined where there is none. */
async function stampOf(path: string): Promise<string | undefined> {
  const info = await stat(path).catch(() => undefined);
  return info && `${info.mtimeMs} ${info.size}`;
}
