import { resolve } from 'node:path';
import { InputError } from '../errors';
import { checkpointMetadata, examineWeights, checkpointPath } from '../model/checkpoint';
import { loadedTensors } from '../model/load-weights';
import { buildProgram } from '../model/program';
import type { NetworkSpec } from '../model/spec';
import type { TensorInfo } from '../weights/open-weights';
import { withWeights } from '../weights/read-weights';
import type { NamedTensor } from '../weights/tensors';
import { writeTorch } from '../weights/torch-write';

export interface ExportResult {
  readonly out: string;
  readonly spec: NetworkSpec;
  /** Tensors written, counters of batch normalisation included. */
  readonly tensors: number;
  /** Tensors of the network that the checkpoint does not hold, and so the file does not either. */
  readonly missing: readonly string[];
  readonly remarks: readonly string[];
}

/**
 * Writes a checkpoint as PyTorch's own file: a state dict with PyTorch's names, in PyTorch's order, that
 * `torch.load(FILE, weights_only=True)` reads and `load_state_dict` takes. Tensors pass one at a time.
 * @throws InputError where the checkpoint is none
 */
export async function exportTorch(
  path: string,
  out: string,
  given: Partial<NetworkSpec>,
): Promise<ExportResult> {
  const file = await checkpointPath(path);
  if (resolve(file) === resolve(out))
    throw new InputError(`--out ${out} is the file that is exported. Name another one.`);
  return withWeights(file, async (weights) => {
    const { meta, report, remarks } = examineWeights(weights, file, given);
    const infos = stateDict(meta.spec, new Set(report.loaded));
    const metadata = checkpointMetadata(meta);
    await writeTorch(out, infos, metadata, values());
    return { out, spec: meta.spec, tensors: infos.length, missing: report.missing, remarks };

    async function* values(): AsyncGenerator<NamedTensor, void> {
      for await (const tensor of loadedTensors(weights, report, true)) yield { ...tensor, dtype: 'F32' };
      // Batches are not counted here; PyTorch needs the number only where a momentum of None asks for it.
      for (const { name, shape, dtype } of infos)
        if (dtype === 'I64') yield { name, shape, dtype, data: new BigInt64Array(1) };
    }
  });
}

/** Names, shapes and types as PyTorch's state_dict lists them; of a block, the shortcut comes last. */
function stateDict(spec: NetworkSpec, held: ReadonlySet<string>): TensorInfo[] {
  const { parameters, norms } = buildProgram(spec, { fused: true });
  const infos: TensorInfo[] = [];
  for (const { name, shape } of parameters) {
    if (held.has(name)) infos.push({ name, shape, dtype: 'F32' });
    const norm = /^(.*)\.bias$/.exec(name)?.[1];
    const channels = norm === undefined ? undefined : norms.get(norm);
    if (norm === undefined || channels === undefined) continue;
    for (const statistic of ['running_mean', 'running_var'])
      if (held.has(`${norm}.${statistic}`))
        infos.push({ name: `${norm}.${statistic}`, shape: [channels], dtype: 'F32' });
    if (held.has(`${norm}.running_mean`))
      infos.push({ name: `${norm}.num_batches_tracked`, shape: [], dtype: 'I64' });
  }
  const blockOf = (name: string): string => /^layer\d\.\d+\./.exec(name)?.[0] ?? '';
  const blocks = new Map<string, TensorInfo[]>();
  const order: TensorInfo[][] = [];
  for (const info of infos) {
    const block = blockOf(info.name);
    let group = block === '' ? undefined : blocks.get(block);
    if (group === undefined) {
      group = [];
      order.push(group);
      if (block !== '') blocks.set(block, group);
    }
    group.push(info);
  }
  const isShortcut = ({ name }: TensorInfo): boolean => name.includes('.downsample.');
  return order.flatMap((group) => [
    ...group.filter((info) => !isShortcut(info)),
    ...group.filter((info) => isShortcut(info)),
  ]);
}
