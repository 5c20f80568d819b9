import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { beforeAll, describe, expect, it } from 'vitest';
import { Network } from '../../../src/core/model/network';
import { networkSpec } from '../../../src/core/model/spec';
import { readNifti } from '../../../src/core/volume/nifti-read';
import { toRas } from '../../../src/core/volume/orientation';
import { writeSafetensors } from '../../../src/core/weights/safetensors';
import { havePython, python } from '../../peers';
import { fcd, scratchFolder } from './run-fcd';
import { writeScans, type Scans } from './scans';

const folder = scratchFolder();
const WHICH = ['--arch', 'resnet10', '--geometry', 'paper', '--shortcut', 'A', '--width', '1/8'];
let scans: Scans;
const bare = join(folder, 'bare.safetensors');
const pth = join(folder, 'bare.pth');

beforeAll(async () => {
  await tf.setBackend('cpu');
  scans = await writeScans(folder);
  const network = new Network(
    networkSpec({ arch: 'resnet10', geometry: 'paper', shortcut: 'A', width: 0.125 }),
    21,
  );
  const tensors = [...network.weights.toBorder()].map(([name, { shape, data }]) => ({
    name,
    shape,
    dtype: 'F32' as const,
    data,
  }));
  network.dispose();
  await writeSafetensors(bare, tensors);
});

const predict = (file: string, ...args: string[]): string[] => [
  ...['predict', '--engine', 'cpu', '--model', file, '--preprocess', 'none', '--input', scans.flair, ...args],
];

describe('weights that others wrote', () => {
  it('need no --arch: the network is recognised, and the geometry that is assumed is said', async () => {
    const { code, stderr, stdout } = await fcd(predict(bare));
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(/could be of geometry paper, medicalnet, monai; paper is assumed/);
    expect(stdout).toBe((await fcd(predict(bare, ...WHICH))).stdout);
  });

  it('say which axis is assumed to be the depth, unless --axes does', async () => {
    const unsaid = await fcd(predict(bare, ...WHICH));
    expect(unsaid.code, unsaid.stderr).toBe(0);
    expect(unsaid.stderr).toMatch(/does not say which voxel axis is its depth: --axes ijk is assumed/);
    const said = await fcd(predict(bare, ...WHICH, '--axes', 'ijk'));
    expect(said.stderr).not.toMatch(/is assumed/);
    expect(said.stdout).toBe(unsaid.stdout);
  });

  it('are refused where they are of another network', async () => {
    const { code, stderr } = await fcd(
      predict(bare, '--arch', 'resnet18', '--geometry', 'paper', '--width', '1/8'),
    );
    expect(code).toBe(1);
    expect(stderr).toContain(bare);
    expect(stderr).toContain('is a network with arch resnet10, but arch resnet18 was asked for');
  });

  it.skipIf(!havePython('torch'))(
    'as .pth of torch.save, with the prefix of DataParallel: logits are those of PyTorch (skipped without python3-torch)',
    async () => {
      const order = join(folder, 'voxels.bin');
      const raw = python(
        `
import json, sys, numpy, torch
import torch.nn as nn, torch.nn.functional as F
source, target, voxels, shape = sys.argv[1:5]
with open(source, 'rb') as f:
    size = int.from_bytes(f.read(8), 'little')
    header = json.loads(f.read(size))
    data = f.read()
state = {}
for name, entry in header.items():
    if name == '__metadata__': continue
    begin, end = entry['data_offsets']
    state[name] = torch.from_numpy(numpy.frombuffer(data[begin:end], '<f4').copy()).reshape(entry['shape'])
# The file that is to be read: as torch.save writes the state of a network in DataParallel.
torch.save({'state_dict': {'module.' + name: tensor for name, tensor in state.items()}}, target)
def norm(x, name):
    return F.batch_norm(x, state[name + '.running_mean'], state[name + '.running_var'], state[name + '.weight'], state[name + '.bias'], eps=1e-5)
def block(x, name, stride):
    y = F.relu(norm(F.conv3d(x, state[name + '.conv1.weight'], stride=stride, padding=1), name + '.bn1'))
    y = norm(F.conv3d(y, state[name + '.conv2.weight'], padding=1), name + '.bn2')
    if stride != 1 or x.shape[1] != y.shape[1]:
        x = x[:, :, ::stride, ::stride, ::stride]
        x = torch.cat([x, x.new_zeros(x.shape[0], y.shape[1] - x.shape[1], *x.shape[2:])], 1)
    return F.relu(x + y)
i, j, k = map(int, shape.split('x'))
x = torch.from_numpy(numpy.fromfile(voxels, '<f4').reshape(k, j, i).transpose(2, 1, 0).copy())[None, None]
y = F.relu(norm(F.conv3d(x, state['conv1.weight'], stride=(1, 2, 2), padding=3), 'bn1'))
y = F.max_pool3d(y, 3, 2, 1)
for n, stride in enumerate([1, 2, 2, 2]): y = block(y, 'layer%d.0' % (n + 1), stride)
print(json.dumps((y.mean((2, 3, 4)) @ state['fc.weight'].T + state['fc.bias'])[0].tolist()))`,
        [bare, pth, ...(await voxelsOf(scans.flair, order))],
      );
      const expected = JSON.parse(raw) as number[];
      const { code, stdout, stderr } = await fcd([
        ...predict(pth, ...WHICH, '--engine', 'wasm', '--axes', 'ijk'),
        '--json',
      ]);
      expect(code, stderr).toBe(0);
      const [{ logits }] = JSON.parse(stdout) as { logits: number[] }[];
      const largest = Math.max(...expected.map(Math.abs));
      logits.forEach((logit, at) => expect(Math.abs(logit - expected[at]) / largest).toBeLessThan(1e-4));
      expect(stderr).toContain('prefix module. taken off the names');
      expect((await fcd(['weights', pth])).stdout).toContain('module.conv1.weight');
    },
  );
});

/** Writes the voxels of the RAS grid, i fastest; returns the file and the grid as arguments. */
async function voxelsOf(path: string, to: string): Promise<string[]> {
  const { data, shape } = toRas((await readNifti(path)).volume);
  writeFileSync(to, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return [to, shape.join('x')];
}
