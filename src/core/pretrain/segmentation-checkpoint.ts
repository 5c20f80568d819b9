import { InputError } from '../errors';
import {
  checkpointMeta,
  checkpointMetadata,
  loadInto,
  saveNetwork,
  type CheckpointMeta,
} from '../model/checkpoint';
import type { FitState } from '../train/fit-state';
import type { Optimiser } from '../train/optimiser';
import { readWeights } from '../weights/read-weights';
import { writeSafetensors } from '../weights/safetensors';
import type { NamedTensor } from '../weights/tensors';
import { SegmentationNetwork } from './segmentation-network';

/** What these checkpoints say of themselves beside the network. */
export type SegmentationMeta = Omit<CheckpointMeta, 'spec'>;

/** The encoder alone, as a checkpoint of ours that any training can start from and PyTorch loads. */
export async function saveEncoder(
  path: string,
  network: SegmentationNetwork,
  meta: SegmentationMeta,
): Promise<void> {
  const tensors: NamedTensor[] = [];
  for (const [name, { shape, data }] of await network.encoderTensors())
    tensors.push({ name, shape, dtype: 'F32', data });
  await writeSafetensors(path, tensors, checkpointMetadata({ ...meta, spec: network.spec }));
}

/** Encoder, decoder and heads; with the optimiser and its state also all that going on exactly needs. */
export async function saveSegmentation(
  path: string,
  network: SegmentationNetwork,
  meta: SegmentationMeta,
  resume?: { readonly optimiser: Optimiser; readonly state: FitState },
): Promise<void> {
  await saveNetwork(path, network, meta, await resume?.optimiser.readBorder(), resume?.state);
}

/**
 * A whole segmentation network from a file that {@link saveSegmentation} wrote; the caller disposes it.
 * @throws InputError where the file holds no heads, or does not say which tasks they are of
 */
export async function loadSegmentation(
  path: string,
): Promise<{ readonly network: SegmentationNetwork; readonly meta: CheckpointMeta }> {
  const file = await readWeights(path);
  const meta = checkpointMeta(file, path);
  const head = file.tensors.get('head.weight');
  const tasks = meta?.pretraining?.tasks;
  if (!meta || !head || !tasks)
    throw new InputError(
      `${path} holds no segmentation heads. Give the checkpoints/segmentation/model.safetensors of a pre-training.`,
    );
  const network = new SegmentationNetwork(meta.spec, { tasks, channels: head.shape[1] }, 0);
  const { missing, mismatched } = loadInto(network, file);
  const wrong = [...missing, ...mismatched.map(({ name }) => name)];
  if (wrong.length === 0) return { network, meta };
  network.dispose();
  throw new InputError(
    `${path} lacks ${wrong.length} tensors of its network, or has them in another shape: ${wrong[0]}, ...`,
  );
}
