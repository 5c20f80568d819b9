import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { writeJson } from '../files/whole';
import type { RecordedPlan } from './wasm/conv-plan';

const SCHEMA = 1;

/** On what timings depend: a change of any of it begins a new file. */
export type TimedMachine = Readonly<Record<string, string | number>>;

const cacheSchema = v.object({
  schema: v.literal(SCHEMA),
  machine: v.record(v.string(), v.union([v.string(), v.number()])),
  fastest: v.record(v.string(), v.string()),
});

/** What was fastest on a processor or a GPU, in the user's cache: a file per machine, as {@link TimedMachine} tells it. */
export class PlanCache {
  readonly path: string;

  /** @param kind begins the file's name */
  constructor(
    kind: string,
    private readonly machine: TimedMachine,
  ) {
    const name = createHash('sha256').update(JSON.stringify(machine)).digest('hex').slice(0, 16);
    this.path = join(cacheFolder(), `${kind}-${name}.json`);
  }

  /** What was timed before; a file that cannot be read counts as none and is written anew. */
  read(): RecordedPlan {
    if (!existsSync(this.path)) return {};
    try {
      const result = v.safeParse(cacheSchema, JSON.parse(readFileSync(this.path, 'utf8')));
      return result.success ? result.output.fastest : {};
    } catch {
      return {};
    }
  }

  /** Adds timings to what the file holds by now: another process may have written it. */
  async add(timed: RecordedPlan): Promise<void> {
    const fastest = { ...this.read(), ...timed };
    await writeJson(this.path, { schema: SCHEMA, machine: this.machine, fastest });
  }

  /** As {@link add}; a cache that cannot be written costs time only: the next run times again. */
  async keep(timed: RecordedPlan): Promise<void> {
    if (Object.keys(timed).length === 0) return;
    try {
      await this.add(timed);
    } catch {
      // A home directory without space or rights.
    }
  }
}

/** `FCD_CACHE_DIR`, else where the system keeps what may be lost. */
export function cacheFolder(): string {
  const { FCD_CACHE_DIR, XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (FCD_CACHE_DIR) return FCD_CACHE_DIR;
  if (XDG_CACHE_HOME) return join(XDG_CACHE_HOME, 'fcd-lens');
  if (process.platform === 'win32' && LOCALAPPDATA) return join(LOCALAPPDATA, 'fcd-lens');
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'fcd-lens');
  return join(homedir(), '.cache', 'fcd-lens');
}
