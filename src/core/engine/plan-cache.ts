import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { cpus, homedir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { writeJson } from '../files/whole';
import type { RecordedPlan } from './wasm/conv-plan';
import { kernelBuild } from './wasm/modules';

const SCHEMA = 1;

/** On what timings depend: a change of any of it begins a new file. */
const machineSchema = v.object({
  cpu: v.string(),
  module: v.string(),
  threads: v.number(),
  node: v.string(),
  kernels: v.string(),
});
type TimedMachine = v.InferOutput<typeof machineSchema>;

const cacheSchema = v.object({
  schema: v.literal(SCHEMA),
  machine: machineSchema,
  fastest: v.record(v.string(), v.string()),
});

/** What was fastest on this machine, in the user's cache: a file per machine, module, thread count, Node and build. */
export class PlanCache {
  private readonly machine: TimedMachine;
  readonly path: string;

  constructor(module: string, threads: number) {
    this.machine = {
      cpu: cpus()[0]?.model ?? 'unknown',
      module,
      threads,
      node: process.versions.node,
      kernels: kernelBuild(),
    };
    const name = createHash('sha256').update(JSON.stringify(this.machine)).digest('hex').slice(0, 16);
    this.path = join(cacheFolder(), `convolutions-${name}.json`);
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
