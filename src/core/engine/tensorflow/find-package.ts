import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import * as v from 'valibot';
import type { TensorflowPlaces } from '../../../protocol/tensorflow';
import { InputError, messageOf } from '../../errors';

/** In the order in which they are preferred: with CUDA, and for the processor alone. */
export const PACKAGES = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'] as const;
export type PackageName = (typeof PACKAGES)[number];

export interface TensorflowPackage {
  readonly name: PackageName;
  readonly version: string;
  /** The package's own folder. */
  readonly folder: string;
  /** How it was found, as half a sentence: `installed by FCD Lens`. */
  readonly found: string;
}

/**
 * The package to load: a named folder before what the editor installed, that before a workspace's own.
 * @throws InputError where a folder was named that has none
 */
export function findTensorflow(places: TensorflowPlaces): TensorflowPackage | undefined {
  const { named, storage, workspaces = [] } = places;
  if (named !== undefined) {
    const found = packageIn(resolve(named)) ?? packageSeenFrom(resolve(named));
    if (found) return { ...found, found: `found from ${named}` };
    throw new InputError(
      `Neither ${PACKAGES.join(' nor ')} can be found from ${resolve(named)}. Name a folder in which npm installed one of them, or the package's own folder.`,
    );
  }
  const installed = storage === undefined ? undefined : packageIn(storage);
  if (installed) return { ...installed, found: 'installed by FCD Lens' };
  for (const workspace of workspaces) {
    const found = packageSeenFrom(workspace);
    if (found) return { ...found, found: `of the workspace ${workspace}` };
  }
  return undefined;
}

type Found = Omit<TensorflowPackage, 'found'>;

/** The folder is the package, or npm installed it there: nothing above is looked at. */
function packageIn(folder: string): Found | undefined {
  const candidates = [folder, ...PACKAGES.map((name) => join(folder, 'node_modules', name))];
  return firstPackage(candidates.map((candidate) => join(candidate, 'package.json')));
}

/** As Node.js finds packages for a file in that folder. */
function packageSeenFrom(folder: string): Found | undefined {
  const { resolve: find } = createRequire(join(folder, 'package.json'));
  const manifests = PACKAGES.flatMap((name) => {
    try {
      return [find(`${name}/package.json`)];
    } catch {
      return []; // not there
    }
  });
  return firstPackage(manifests);
}

function firstPackage(manifests: readonly string[]): Found | undefined {
  for (const manifest of manifests) {
    if (!existsSync(manifest)) continue;
    const { name, version } = manifestOf(manifest);
    const known = PACKAGES.find((one) => one === name);
    if (known) return { name: known, version, folder: dirname(manifest) };
  }
  return undefined;
}

const manifestSchema = v.object({ name: v.optional(v.string()), version: v.optional(v.string(), 'unknown') });

function manifestOf(path: string): v.InferOutput<typeof manifestSchema> {
  try {
    return v.parse(manifestSchema, JSON.parse(readFileSync(path, 'utf8')));
  } catch (error) {
    throw new InputError(`${path} is not a package's description (${messageOf(error)}). Install it again.`, {
      cause: error,
    });
  }
}
