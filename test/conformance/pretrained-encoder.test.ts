import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { closeEngine, openEngine } from '../../src/core/engine/choose';
import { writePhantomCohort } from '../../src/core/cohort/phantom/write-phantom-cohort';
import { loadNetwork } from '../../src/core/model/checkpoint';
import { networkInput } from '../../src/core/model/input';
import { readNifti } from '../../src/core/volume/nifti-read';
import { ROOT, havePython, python } from '../peers';
import { fcd, fcdJson, scratchFolder } from '../unit/cli/run-fcd';

const peers = ['torch', 'nibabel'].every(havePython);
const folder = scratchFolder();
const at = (name: string): string => join(folder, name);
const cohort = at('cohort');
const scan = join(cohort, 'sub-00001', 'anat', 'sub-00001_T1w.nii.gz');
const NETWORK = ['--arch', 'resnet10', '--geometry', 'compact', '--width', '1/8', '--threads', '1'];
const FOLD = ['--fold', '1/3', '--seed', '5'];
const STAGES = ['layer1', 'layer2', 'layer3', 'layer4'] as const;

/** What PyTorch says, see pretrained_peer.py. */
interface Peer {
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
  readonly single: Readonly<Record<string, number[]>>;
  readonly double: Readonly<Record<string, number[]>>;
}

function peerOn(weights: string, spec: object): Peer {
  const script = join(ROOT, 'test/conformance/pretrained_peer.py');
  const code = `import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name="__main__")`;
  return JSON.parse(python(code, [script, weights, JSON.stringify(spec), scan])) as Peer;
}

/** Largest error over the largest value: at most 1e-4, or three times PyTorch's own in single precision. */
function agree(ours: ArrayLike<number>, { single, double }: Peer, name: string): void {
  const exact = double[name];
  const largest = exact.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const error = (values: ArrayLike<number>): number =>
    exact.reduce((most, value, n) => Math.max(most, Math.abs(values[n] - value)), 0) / largest;
  expect(ours.length, name).toBe(exact.length);
  expect(largest, name).toBeGreaterThan(0);
  expect(error(ours), name).toBeLessThanOrEqual(Math.max(1e-4, 3 * error(single[name])));
}

async function run(...args: string[]): Promise<void> {
  const { code, stderr } = await fcd(args);
  expect(code, stderr).toBe(0);
}

describe.skipIf(!peers)('weights that learned to segment, in PyTorch [needs python3-torch, -nibabel]', () => {
  beforeAll(async () => {
    await openEngine({ threads: 1 });
    await writePhantomCohort({ out: cohort, subjects: 6, size: 32, seed: 3 });
    await run(
      ...['pretrain', '--tasks', cohort, '--out', at('pretrained'), '--epochs', '2'],
      ...['--decoder-channels', '4', ...NETWORK, ...FOLD],
    );
    await run('export', at('pretrained'), '--out', at('encoder.pth'));
    await run(
      ...['train', '--cohort', cohort, '--modality', 'T1w', '--init', at('pretrained'), '--epochs', '2'],
      ...['--patience', '0', '--out', at('tuned'), ...NETWORK, ...FOLD],
    );
    await run('export', at('tuned'), '--out', at('tuned.pth'));
  });
  afterAll(closeEngine);

  it('the encoder: every stage has the same features, and only the classifier is left to learn', async () => {
    const { network } = await loadNetwork(at('pretrained'), {});
    const said = peerOn(at('encoder.pth'), network.spec);
    expect(said).toMatchObject({ missing: ['fc.weight', 'fc.bias'], unexpected: [] });
    const x = networkInput([(await readNifti(scan)).volume], network.spec);
    for (const layer of STAGES) {
      const { pass, value } = network.runKeeping(layer, x, 'running');
      agree(pass.value(value).dataSync(), said, layer);
      pass.dispose();
    }
    x.dispose();
    network.dispose();
  });

  it('the classifier that was fine-tuned from it: fcd predict and PyTorch say the same logits', async () => {
    const { network } = await loadNetwork(at('tuned'), {});
    const said = peerOn(at('tuned.pth'), network.spec);
    network.dispose();
    expect(said).toMatchObject({ missing: [], unexpected: [] });
    for (const model of [at('tuned'), at('tuned.pth')]) {
      const answer = await fcdJson([
        ...['predict', '--model', model, '--preprocess', 'none', '--input', scan, '--threads', '1'],
      ]);
      const [{ logits }] = answer as [{ logits: number[] }];
      agree(logits, said, 'logits');
    }
  });
});
