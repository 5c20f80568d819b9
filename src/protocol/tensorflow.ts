/**
 * Environment variables that say where TensorFlow for Node.js (@tensorflow/tfjs-node-gpu or -node) may be found. The
 * editor sets them for its processes; a person may set the first.
 */
const NAMED = 'FCD_TENSORFLOW_PATH';
const STORAGE = 'FCD_TENSORFLOW_STORAGE';
const WORKSPACES = 'FCD_TENSORFLOW_WORKSPACES';

/** Between folders: what their names do not have on any system. */
const BETWEEN = '\n';

/** The version that works: that of tfjs-core, with which the package shares its registry of kernels. */
export const TENSORFLOW_VERSION = '4.22.0';

/** Where TensorFlow for Node.js may be found: nowhere else, for what is found is native code that will run. */
export interface TensorflowPlaces {
  /** A folder that a person has named (an option, the environment, the editor's setting): there it must be. */
  readonly named?: string;
  /** The folder that the editor's command installs into: there it may be. */
  readonly storage?: string;
  /** Folders whose own packages may be used: those of a trusted workspace. */
  readonly workspaces?: readonly string[];
}

/** The places that an environment tells of. */
export function tensorflowPlaces(env: Readonly<Record<string, string | undefined>>): TensorflowPlaces {
  const given = (name: string): string | undefined => env[name]?.trim() || undefined;
  return {
    named: given(NAMED),
    storage: given(STORAGE),
    workspaces: given(WORKSPACES)
      ?.split(BETWEEN)
      .filter((folder) => folder !== ''),
  };
}

/** Environment variables by which another process is told the places. */
export function tensorflowEnvironment(places: TensorflowPlaces): Record<string, string> {
  const { named, storage, workspaces = [] } = places;
  return {
    ...(named !== undefined && { [NAMED]: named }),
    ...(storage !== undefined && { [STORAGE]: storage }),
    ...(workspaces.length > 0 && { [WORKSPACES]: workspaces.join(BETWEEN) }),
  };
}
