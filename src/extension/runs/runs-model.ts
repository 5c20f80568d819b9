import { join } from 'node:path';
import { exists, FollowedRun, OutcomeFile, type Observer, type RunSnapshot } from './follow-run';
import { experimentOf, groupRuns, type ExperimentFacts, type RunRow } from './run-groups';

/** A run that has ended changes seldom (it may be resumed): it is looked at this many times more rarely. */
const RARELY = 10;

/** The run directories that are known, and what their files say. Knows nothing of how they are found. */
export class RunsModel {
  private readonly followed = new Map<string, FollowedRun>();
  private readonly snapshots = new Map<string, RunSnapshot>();
  private readonly outcomes = new Map<string, OutcomeFile>();
  private readonly facts = new Map<string, ExperimentFacts>();
  private looks = 0;
  private looking: Promise<boolean> | undefined;

  constructor(private readonly observer: Observer) {}

  /** The run directories there are; those that are not among them any more are forgotten. */
  setDirectories(paths: readonly string[]): void {
    const there = new Set(paths);
    for (const path of this.followed.keys()) if (!there.has(path)) this.forget(path);
    for (const path of paths) this.add(path);
  }

  /** A run directory that has just been made. */
  add(path: string): void {
    if (!this.followed.has(path)) this.followed.set(path, new FollowedRun(path, this.observer));
  }

  /** Looks at everything that may have changed. Calls that come while it looks share its result. */
  look(all = false): Promise<boolean> {
    this.looking ??= this.lookNow(all).finally(() => {
      this.looking = undefined;
    });
    return this.looking;
  }

  get rows(): RunRow[] {
    return groupRuns([...this.snapshots.values()], (path) => this.facts.get(path));
  }

  get runs(): readonly RunSnapshot[] {
    return [...this.snapshots.values()];
  }

  /** @returns whether anything is different */
  private async lookNow(all: boolean): Promise<boolean> {
    const ended = all || this.looks++ % RARELY === 0;
    let changed = false;
    for (const [path, run] of this.followed) {
      const before = this.snapshots.get(path);
      if (before && !ended && (before.state === 'finished' || before.state === 'failed')) continue;
      const after = await run.look();
      if (!after) {
        this.forget(path);
        changed = true;
      } else if (!before || different(before, after)) {
        this.snapshots.set(path, after);
        changed = true;
      }
    }
    return (await this.lookAtExperiments()) || changed;
  }

  private async lookAtExperiments(): Promise<boolean> {
    let changed = false;
    const paths = new Set([...this.followed.keys()].flatMap((path) => experimentOf(path) ?? []));
    for (const path of this.facts.keys()) if (!paths.has(path)) this.facts.delete(path);
    for (const path of paths) {
      const file = this.outcomes.get(path) ?? new OutcomeFile(path);
      this.outcomes.set(path, file);
      const facts = { outcome: await file.read(), hasReport: await exists(join(path, 'report.html')) };
      const before = this.facts.get(path);
      if (before?.outcome === facts.outcome && before?.hasReport === facts.hasReport) continue;
      this.facts.set(path, facts);
      changed = true;
    }
    return changed;
  }

  private forget(path: string): void {
    this.followed.delete(path);
    this.snapshots.delete(path);
  }
}

function different(a: RunSnapshot, b: RunSnapshot): boolean {
  return (
    a.progress !== b.progress ||
    a.state !== b.state ||
    a.record !== b.record ||
    a.fault !== b.fault ||
    a.outcome !== b.outcome ||
    a.heldOut !== b.heldOut ||
    a.hasReport !== b.hasReport ||
    a.process?.pid !== b.process?.pid
  );
}
