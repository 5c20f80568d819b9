import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { closeEngine, openEngine } from '../../src/core/engine/choose';
import { writeJson } from '../../src/core/files/whole';
import { insideOn, segmentInside } from '../../src/core/intracranial/segment-inside';
import { INTRACRANIAL } from '../../src/core/intracranial/shipped-head';
import { diceOverlap } from '../../src/core/intracranial/dice-overlap';
import { loadSegmentation } from '../../src/core/pretrain/segmentation-checkpoint';
import { diceTable, type HeadDice } from '../../src/core/pretrain/dice';
import { shipSegmentation, type ShippedEncoder } from '../../src/core/transfer/ship-encoder';
import type { TaskDice } from '../../src/core/transfer/pretraining-record';
import { readNifti } from '../../src/core/volume/nifti-read';
import { writeNifti } from '../../src/core/volume/nifti-write';
import { isFinished } from '../transfer-trial/pretraining';
import { runFcd } from '../transfer-trial/fcd-process';
import { drawAnyContrastHead } from './any-contrast';

/** The head that makes brain masks: small, for it is asked for every scan that brings none. */
export const HEAD = {
  name: INTRACRANIAL,
  arch: 'resnet10',
  width: '1/8',
  decoderChannels: 8,
  spacing: 4,
  shape: '56x64x56',
  /** Drawn heads, each in two contrasts; a tenth is held out. */
  heads: 160,
  epochs: 16,
  fold: '1/10',
  drawSeed: 3001,
  seed: 1,
} as const;

/** Draws the heads that are not there yet, and writes what is to be learned on them. @returns path of the tasks file */
async function drawHeads(work: string, say: (line: string) => void): Promise<string> {
  const folder = 'any-contrast';
  await mkdir(join(work, folder), { recursive: true });
  const heads = Array.from({ length: HEAD.heads }, (_, n) => `head-${String(n + 1).padStart(4, '0')}`).map(
    (id) => ({
      id,
      images: { T1w: `${folder}/${id}_T1w.nii.gz`, FLAIR: `${folder}/${id}_FLAIR.nii.gz` },
      labels: `${folder}/${id}_inside.nii.gz`,
    }),
  );
  for (const [n, { id, images, labels }] of heads.entries()) {
    // The last one of the three that is written.
    if (existsSync(join(work, labels))) continue;
    say(`drawing ${id}`);
    const { t1w, flair, inside } = drawAnyContrastHead(HEAD.drawSeed, n + 1);
    await writeNifti(join(work, images.T1w), t1w, { dtype: 'int16' });
    await writeNifti(join(work, images.FLAIR), flair, { dtype: 'int16' });
    await writeNifti(join(work, labels), inside, { dtype: 'uint8' });
  }
  const tasks = join(work, `${INTRACRANIAL}.json`);
  await writeJson(tasks, {
    schema: 1,
    modality: 'mixed',
    heads,
    tasks: [{ name: INTRACRANIAL, labels: [1] }],
  });
  return tasks;
}

/** Pre-trains the head (what is finished is not computed again), measures it as it is used, and writes it small. */
export async function shipHead(
  root: string,
  work: string,
  out: string,
  threads: readonly string[],
  say: (line: string) => void,
): Promise<ShippedEncoder> {
  const tasks = await drawHeads(work, say);
  const run = join(work, 'runs', HEAD.name);
  if (!(await isFinished(run)))
    await runFcd(
      root,
      existsSync(join(run, 'run.json'))
        ? ['pretrain', '--resume', run, ...threads]
        : [
            ...['pretrain', '--tasks', tasks, '--modality', 'mixed', '--out', run],
            ...['--arch', HEAD.arch, '--geometry', 'compact', '--width', HEAD.width],
            ...['--decoder-channels', String(HEAD.decoderChannels), '--mask', 'otsu'],
            ...['--spacing', String(HEAD.spacing), '--shape', HEAD.shape],
            ...['--epochs', String(HEAD.epochs), '--seed', String(HEAD.seed), '--fold', HEAD.fold],
            ...threads,
          ],
    );
  const model = join(run, 'checkpoints', 'segmentation', 'model.safetensors');
  return shipSegmentation(model, out, await heldOutDice(model, work));
}

/**
 * Dice on held-out images as the head is used: each image normalised by its own statistics, the largest part alone, on
 * the image's own grid.
 */
async function heldOutDice(model: string, work: string): Promise<TaskDice[]> {
  await openEngine();
  const { network, meta } = await loadSegmentation(model);
  const { pretraining, recipe } = meta;
  if (!pretraining || !recipe) throw new Error(`${model} has no record of its pre-training.`);
  const found: HeadDice[] = [];
  for (const participantId of pretraining.participants.heldOut) {
    const source = participantId.replace(/_(T1w|FLAIR)$/, '');
    const { volume } = await readNifti(join(work, 'any-contrast', `${participantId}.nii.gz`));
    const labels = await readNifti(join(work, 'any-contrast', `${source}_inside.nii.gz`));
    const mask = insideOn(await segmentInside(network, recipe, volume), volume);
    found.push({ participantId, source, dice: [diceOverlap(mask.data, labels.volume.data)] });
  }
  network.dispose();
  await closeEngine();
  return diceTable(found, [INTRACRANIAL], { seed: HEAD.seed });
}
