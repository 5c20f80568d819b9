import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { CamMethod } from '../../src/core/explain/gradcam';
import type { NetworkSpec } from '../../src/core/model/spec';
import { networkSpec } from '../../src/core/model/spec';
import type { OptimiserConfig } from '../../src/core/train/config';
import { readNifti } from '../../src/core/volume/nifti-read';
import type { Shape3, Volume } from '../../src/core/volume/volume';
import { voxelCount } from '../../src/core/volume/volume';
import { realData } from '../peers';
import cases from './cases.json';
import { uniform } from './generator';

/** One network, input and training step: what both languages compute (cases.json). */
export interface Case extends Omit<NetworkSpec, 'classes'> {
  readonly name: string;
  readonly batch: number;
  /** Grid, i x j x k. */
  readonly shape: Shape3;
  readonly seed: number;
  /** Compare moments and gradients in evaluation mode too. */
  readonly thorough: boolean;
  /** How far biases of batch normalisations stay away from 0. */
  readonly biasGap: number;
  /** Absent: evaluation only. `step`: the number of Adam's step, from 1. */
  readonly optimiser?: OptimiserConfig & { readonly step?: number };
  /** Layer, method and class of each class map. */
  readonly maps: readonly (readonly [layer: string, method: CamMethod, classIndex: number])[];
  /** Real volumes, one per channel, below the folder of real data; every n-th voxel of them. */
  readonly files?: readonly string[];
  readonly every?: number;
  /** Where in a real volume each sample begins; absent: the whole volume. */
  readonly blocks?: readonly Shape3[];
}

export const CASES = cases as unknown as readonly Case[];

/** Two classes, as everywhere in the study. */
export function specOf(given: Case): NetworkSpec {
  const { arch, geometry, shortcut, width, axes, inChannels } = given;
  return networkSpec({ arch, geometry, shortcut, width, axes, inChannels });
}

/** Whether the volumes of a case are at hand: always, unless it names real ones. */
export function haveVolumes(given: Case): boolean {
  const folder = realData();
  return (given.files ?? []).every((file) => folder !== undefined && existsSync(join(folder, file)));
}

/** The batch: for each sample its channels. */
export async function volumesOf(given: Case): Promise<Volume[][]> {
  if (given.files) return realVolumes(given);
  return Array.from({ length: given.batch }, (_, n) =>
    Array.from({ length: given.inChannels }, (_, c) =>
      volume(uniform(`${given.seed}/input/${n}/${c}`, voxelCount(given.shape), -2, 2), given.shape),
    ),
  );
}

async function realVolumes(given: Case): Promise<Volume[][]> {
  const folder = realData();
  if (folder === undefined) throw new Error('There is no real data.');
  const channels: Volume[] = [];
  for (const file of given.files ?? []) {
    const { volume: image } = await readNifti(join(folder, file));
    const scale = Math.fround(4 / image.data.reduce((highest, value) => Math.max(highest, value)));
    const data = image.data.map((value) => value * scale);
    channels.push({ ...image, data });
  }
  const every = given.every ?? 1;
  const starts = given.blocks ?? [[0, 0, 0] as const];
  return starts.map((start) => channels.map((channel) => block(channel, start, given.shape, every)));
}

/** Every n-th voxel from `start` on. */
function block(whole: Volume, start: Shape3, shape: Shape3, every: number): Volume {
  const data = new Float32Array(voxelCount(shape));
  let at = 0;
  for (let k = 0; k < shape[2]; k++)
    for (let j = 0; j < shape[1]; j++)
      for (let i = 0; i < shape[0]; i++) {
        const [x, y, z] = [start[0] + i * every, start[1] + j * every, start[2] + k * every];
        data[at++] = whole.data[x + whole.shape[0] * (y + whole.shape[1] * z)];
      }
  return volume(data, shape);
}

function volume(data: Float32Array, shape: Shape3): Volume {
  return { data, shape, affine: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1] };
}
