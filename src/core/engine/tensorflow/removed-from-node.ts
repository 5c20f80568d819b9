import { createRequire } from 'node:module';

/**
 * Functions of Node's module util that @tensorflow/tfjs-node 4.22 still calls and newer Node.js has no more:
 * isNullOrUndefined went with Node.js 23. They are put back where they are missing, before the package is loaded.
 */
const REMOVED: Readonly<Record<string, (value: unknown) => boolean>> = {
  isNullOrUndefined: (value) => value === null || value === undefined,
  isArray: (value) => Array.isArray(value),
};

/** Puts them back. What is there stays. */
export function restoreRemovedFunctions(): void {
  // The object that every `require('util')` gives; an imported namespace could not be added to.
  const util = createRequire(import.meta.url)('node:util') as Record<string, unknown>;
  for (const [name, work] of Object.entries(REMOVED)) util[name] ??= work;
}
