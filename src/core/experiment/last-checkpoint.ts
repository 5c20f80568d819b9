import { InputError } from '../errors';
import { parseFitState, type FitState } from '../train/fit-state';
import { readWeights } from '../weights/read-weights';
import { toFloat32, type TensorFile } from '../weights/tensors';
import type { RunDirectory } from './run-directory';

/** What a run goes on from. */
export interface LastCheckpoint {
  readonly file: TensorFile;
  readonly state: FitState;
  /** Values of the optimiser's tensors. @throws InputError where one is missing */
  readonly read: (name: string) => Float32Array;
}

/**
 * The last checkpoint of a run; undefined before its first one.
 * @throws InputError that says what to do where it is damaged
 */
export async function lastCheckpoint(directory: RunDirectory): Promise<LastCheckpoint | undefined> {
  const path = directory.checkpoint('last');
  if (!directory.has(path)) return undefined;
  const file = await readWeights(path).catch((error: unknown) => {
    if (!(error instanceof InputError)) throw error;
    throw new InputError(
      `${error.message} The run cannot go on from this checkpoint: put a copy of it back, or remove it, and the run begins anew.`,
      { cause: error },
    );
  });
  const text = file.metadata.state;
  if (text === undefined)
    throw new InputError(`${path} does not say where training stood; the run cannot go on from it.`);
  const read = (name: string): Float32Array => {
    const tensor = file.tensors.get(name);
    if (!tensor) throw new InputError(`${path} lacks ${name}; the run cannot go on exactly. Start it anew.`);
    return toFloat32(tensor);
  };
  return { file, state: parseFitState(text, path), read };
}
