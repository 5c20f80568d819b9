import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ROOT } from '../../peers';
import kernels from './fixtures/tensorflow-kernels.json';

const FIXTURES = join(dirname(fileURLToPath(import.meta.url)), 'fixtures');

/** Kernels that the real package registers. */
export const REGISTERED: readonly string[] = kernels.kernels;

export interface StandIn {
  /** A folder as npm leaves it, with node_modules. */
  readonly folder: string;
  /** Names of the kernels that were run on it so far, once it is loaded. */
  asked(): ReadonlySet<string>;
  remove(): void;
}

/**
 * A folder into which something was installed that looks like @tensorflow/tfjs-node (fixtures/tfjs-node-stand-in.cjs).
 * @param source its main file, where it is to be another
 */
export function installStandIn(
  name = '@tensorflow/tfjs-node',
  { version = kernels.version, source }: { version?: string; source?: string } = {},
): StandIn {
  const folder = mkdtempSync(join(tmpdir(), 'fcd-tensorflow-'));
  const modules = join(folder, 'node_modules');
  const home = join(modules, name);
  mkdirSync(home, { recursive: true });
  writeFileSync(join(home, 'package.json'), JSON.stringify({ name, version, main: 'index.cjs' }));
  if (source === undefined) copyFileSync(join(FIXTURES, 'tfjs-node-stand-in.cjs'), join(home, 'index.cjs'));
  else writeFileSync(join(home, 'index.cjs'), source);
  copyFileSync(join(FIXTURES, 'tensorflow-kernels.json'), join(home, 'tensorflow-kernels.json'));
  for (const core of ['@tensorflow/tfjs-core', '@tensorflow/tfjs-backend-cpu'])
    symlinkSync(join(ROOT, 'node_modules', core), join(modules, core), 'junction');
  return {
    folder,
    asked: () => (createRequire(join(home, 'package.json'))(home) as { asked: Set<string> }).asked,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
