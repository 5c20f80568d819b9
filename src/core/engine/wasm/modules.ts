import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';

/** The same kernels, compiled for different machines (scripts/build.mjs). */
export interface KernelModule {
  readonly name: string;
  /** Meant for V8's fusing of pairs of 128-bit operations into 256-bit ones. */
  readonly fused: boolean;
}

export const MODULES: readonly KernelModule[] = [
  { name: 'simd256', fused: true },
  { name: 'simd128-relaxed', fused: false },
  { name: 'simd128-strict', fused: false },
];

/** Optimise everything at once, so that the first call is as fast as the hundredth; set while a module compiles. */
const COMPILE_FLAGS = ['liftoff', 'wasm-tier-up', 'wasm-lazy-compilation'];
const FUSE_FLAG = 'experimental-wasm-revectorize';

/** Releases whose V8 is known to have the flags above: unknown flags are never set. */
function hasFlags(nodeVersion: string): boolean {
  const major = Number(nodeVersion.split('.')[0]);
  return major === 22 || major >= 24;
}

/** A module for this machine, or the reason why it cannot run here. */
export function compileModule(module: KernelModule): { compiled: WebAssembly.Module } | { reason: string } {
  const flags = hasFlags(process.versions.node);
  if (module.fused && !flags)
    return { reason: `Node ${process.versions.node} is not known to fuse SIMD operations` };
  const bytes = readFileSync(join(engineFolder(), `${module.name}.wasm`));
  if (!WebAssembly.validate(bytes)) return { reason: `Node ${process.versions.node} has no relaxed SIMD` };
  if (!flags) return { compiled: new WebAssembly.Module(bytes) };
  for (const flag of COMPILE_FLAGS) setFlagsFromString(`--no-${flag}`);
  setFlagsFromString(module.fused ? `--${FUSE_FLAG}` : `--no-${FUSE_FLAG}`);
  try {
    return { compiled: new WebAssembly.Module(bytes) };
  } finally {
    for (const flag of COMPILE_FLAGS) setFlagsFromString(`--${flag}`);
    setFlagsFromString(`--no-${FUSE_FLAG}`);
  }
}

/** Hash of the kernels' sources, compiler and drivers: what was timed with others does not count. */
export function kernelBuild(): string {
  const stamp = join(engineFolder(), 'kernels.sha256');
  return existsSync(stamp) ? readFileSync(stamp, 'utf8').trim() : 'unknown';
}

/** Where the built kernels are: next to the program in dist/, or in dist/ of the checkout when run from source. */
export function engineFolder(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    for (const candidate of [join(folder, 'engine'), join(folder, 'dist', 'engine')])
      if (existsSync(join(candidate, 'worker.js'))) return candidate;
    if (folder === dirname(folder))
      throw new Error('The compute kernels are not built: run `npm run build` in the clone first.');
  }
}
