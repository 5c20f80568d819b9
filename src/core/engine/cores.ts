import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** Cores, counting hyper-threads once, as far as the system says and this process may use them. */
export function physicalCores(): number {
  const usable = availableParallelism();
  const folder = '/sys/devices/system/cpu';
  if (existsSync(folder)) {
    const cores = new Set<string>();
    for (const name of readdirSync(folder)) {
      const siblings = `${folder}/${name}/topology/thread_siblings_list`;
      if (/^cpu\d+$/.test(name) && existsSync(siblings)) cores.add(readFileSync(siblings, 'utf8').trim());
    }
    if (cores.size > 0) return Math.min(usable, cores.size);
  }
  // Elsewhere x64 usually means two hyper-threads per core, and ARM one.
  return process.arch === 'x64' ? Math.max(1, Math.ceil(usable / 2)) : usable;
}
