import { InputError } from '../errors';
import { loadNetwork, readCheckpoint, type Checkpoint, type LoadedNetwork } from '../model/checkpoint';
import type { NetworkSpec } from '../model/spec';

/** A network that can be asked: every tensor is the file's. `remarks` say what is odd about the file. */
export type OpenedModel = LoadedNetwork;

/**
 * The network that a file or a run directory holds, complete. Needs an engine; the caller disposes the network.
 * @throws InputError where a tensor is missing or has another shape: what the network says would rest on random numbers
 */
export async function openModel(path: string, given: Partial<NetworkSpec>): Promise<OpenedModel> {
  const loaded = await loadNetwork(path, given);
  try {
    requireComplete(loaded);
    return { ...loaded, remarks: remarksOn(loaded, given) };
  } catch (error) {
    loaded.network.dispose();
    throw error;
  }
}

/** What {@link openModel} would open, without an engine; InputErrors as there. */
export async function examineModel(path: string, given: Partial<NetworkSpec>): Promise<Checkpoint> {
  const checkpoint = await readCheckpoint(path, given);
  requireComplete(checkpoint);
  return { ...checkpoint, remarks: remarksOn(checkpoint, given) };
}

function requireComplete({ path, report }: Checkpoint): void {
  const { mismatched, missing } = report;
  if (mismatched.length > 0)
    throw new InputError(
      `${path}: ${mismatched.length} tensors have another shape than the network: ${some(mismatched.map((one) => `${one.name} is ${one.found.join('x')}, expected ${one.expected.join('x')}`))}. Check --arch, --shortcut and --width.`,
    );
  if (missing.length > 0)
    throw new InputError(
      `${path} lacks ${missing.length} tensors of the network: ${some(missing)}. What it says would rest on random numbers. Check --arch and --shortcut; weights without a classifier must be trained first (fcd train --init ${path}).`,
    );
}

function remarksOn(checkpoint: Checkpoint, given: Partial<NetworkSpec>): string[] {
  const { path, report, stored, meta } = checkpoint;
  const remarks = [...checkpoint.remarks];
  if (report.prefixStripped.length > 0)
    remarks.push(`${path}: prefix ${report.prefixStripped.join(', ')} taken off the names.`);
  if (report.unexpected.length > 0)
    remarks.push(`${path}: ${report.unexpected.length} tensors are not used: ${some(report.unexpected)}.`);
  if (!stored && given.axes === undefined)
    remarks.push(
      `${path} does not say which voxel axis is its depth: --axes ${meta.spec.axes} is assumed, as is usual for the geometry ${meta.spec.geometry}. Give --axes to be sure.`,
    );
  for (const key of ['geometry', 'shortcut', 'axes'] as const)
    if (stored && stored[key] !== meta.spec[key])
      remarks.push(
        `${path} was trained with ${key} ${stored[key]}; with ${key} ${meta.spec[key]} the same weights compute another function.`,
      );
  return remarks;
}

function some(names: readonly string[]): string {
  return names.length <= 4
    ? names.join(', ')
    : `${names.slice(0, 4).join(', ')} and ${names.length - 4} more`;
}
