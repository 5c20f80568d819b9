import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as vscode from 'vscode';
import { answering } from './support/answers';
import { openCheckpoint, untilShown } from './support/checkpoint';
import { compute, lens } from './support/extension';
import { readTensors, writeChanged } from './support/safetensors';
import { screenshot } from './support/screenshot';
import { closeAll, workspace } from './support/workspace';

afterEach(closeAll);

/** Of the run that the workspace has: a ResNet-10 at an eighth of the channels. */
const checkpoint = () => join(workspace().run, 'checkpoints', 'best', 'model.safetensors');
const inFolder = (name: string) => join(workspace().folder, name);

const mean = (values: Float32Array) => values.reduce((sum, one) => sum + one, 0) / values.length;

describe('opening a checkpoint', () => {
  before(() => vscode.commands.executeCommand('workbench.action.closePanel'));

  it('shows the tensors of the file with their numbers, and which network it is', async () => {
    const tensors = readTensors(checkpoint());
    const panel = await openCheckpoint(checkpoint());
    const input = vscode.window.tabGroups.activeTabGroup.activeTab?.input;
    ok(input instanceof vscode.TabInputCustom);
    equal(input.viewType, 'fcd.checkpoint');
    await panel.whenLooked();
    const { text } = await untilShown(panel, 'that all was read', (one) =>
      one.text.includes('All values are finite'),
    );
    match(text, /ResNet-10 · width 1\/8 · shortcut B · geometry compact · [\d.]+ k parameters/);
    ok(text.includes(`${tensors.length} tensors`));
    await panel.go({ filter: 'conv1.weight' });
    const { rows } = await panel.snapshot();
    const stem = tensors.find(({ name }) => name === 'conv1.weight');
    ok(stem);
    const row = rows.find((one) => one.startsWith('conv1.weight'));
    ok(row, rows.join('\n'));
    ok(row.includes(stem.shape.join('×')), row);
    const shown = /\| (−?[\d.e−]+) \|/.exec(row.replace(/^.*?×\d+ \| (?:[\d.]+ K?B \| )?/, '| '))?.[1];
    ok(shown, row);
    const value = Number(shown.replaceAll('−', '-'));
    ok(
      Math.abs(value - mean(stem.values)) <= 0.06 * Math.abs(mean(stem.values)),
      `${value}, not ${mean(stem.values)}`,
    );
    await screenshot('checkpoint');
  });

  it('draws the histogram and the filters of the tensor that is chosen', async () => {
    const stem = readTensors(checkpoint()).find(({ name }) => name === 'conv1.weight');
    ok(stem);
    const panel = await openCheckpoint(checkpoint());
    await panel.whenLooked();
    await untilShown(panel, 'the tree', ({ rowCount }) => rowCount > 3);
    await panel.go({ tensor: 'conv1.weight' });
    const [out, , depth, height, width] = stem.shape;
    // A tile for each output filter, its slices, the bar of colours.
    const { filters, selected, text } = await untilShown(
      panel,
      'the filters',
      (one) => one.filters.length >= out + depth + 1,
    );
    equal(selected, 'conv1.weight');
    match(text, /Standard deviation/);
    equal(filters.length, out + depth + 1);
    for (const tile of filters.slice(0, out + depth)) {
      deepEqual([tile.width, tile.height], [width, height]);
      ok(tile.colours > 5, `${tile.colours} colours`);
    }
    await screenshot('checkpoint-filters');
  });

  it('finds what is broken, and dead filters', async () => {
    const broken = inFolder('broken.safetensors');
    const filter =
      (readTensors(checkpoint()).find(({ name }) => name === 'conv1.weight')?.values.length ?? 0) / 8;
    writeChanged(checkpoint(), broken, (name, values) => {
      if (name === 'conv1.weight') values.fill(1e-9, 2 * filter, 3 * filter);
      if (name === 'layer3.0.bn1.running_var') values[1] = NaN;
    });
    const panel = await openCheckpoint(broken);
    await panel.whenLooked();
    const { text } = await untilShown(panel, 'the findings', (one) => one.text.includes('dead filter'));
    match(text, /1 tensor with NaN or infinities · 1 dead filter in 1 layer/);
    await panel.go({ tensor: 'conv1.weight' });
    const details = await untilShown(panel, 'the dead filter', (one) => /1 of 8 filters/.test(one.text));
    match(details.text, /Dead filters\s+1 of 8 filters: largest \|weight\| at most 1\/1000 .*\s+2\s/);
  });

  it('lists the layers of the network on the grid that is chosen', async () => {
    const panel = await openCheckpoint(checkpoint());
    await untilShown(panel, 'the tree', ({ rowCount }) => rowCount > 3);
    await panel.go({ tab: 'network' });
    await untilShown(panel, 'its own grid at first', (one) => one.text.includes('pass of 1 × 24×32×24'));
    await panel.go({ grid: '32x64x48' });
    const { text } = await untilShown(panel, 'the layers', (one) => one.text.includes('8 × 16×32×24'));
    match(text, /[\d,]+ parameters, [\d.]+ MFLOP a forward pass of 1 × 32×64×48/);
    await panel.go({ grid: 'large' });
    await untilShown(panel, 'a sentence', (one) => /"large" is no grid: give one side \(96\)/.test(one.text));
  });

  it('looks the same when it comes back from behind another editor', async () => {
    const panel = await openCheckpoint(checkpoint());
    await panel.whenLooked();
    await untilShown(panel, 'the tree', ({ rowCount }) => rowCount > 3);
    await panel.go({ tensor: 'layer2.0.conv2.weight' });
    await panel.go({ tab: 'network', grid: '40' });
    await vscode.commands.executeCommand('workbench.action.pinEditor');
    await vscode.commands.executeCommand('vscode.open', vscode.Uri.file(inFolder('train.py')));
    await openCheckpoint(checkpoint());
    const { tab, selected } = await untilShown(panel, 'the same layers', (one) =>
      one.text.includes('1 × 40×40×40'),
    );
    deepEqual([tab, selected], ['network', 'layer2.0.conv2.weight']);
    await panel.go({ tab: 'tensors' });
    await untilShown(panel, 'all numbers', (one) => one.text.includes('All values are finite'));
  });

  it('reads a file again that was written anew', async () => {
    const path = inFolder('growing.safetensors');
    copyFileSync(checkpoint(), path);
    const panel = await openCheckpoint(path);
    await untilShown(panel, 'all numbers', (one) => one.text.includes('All values are finite'));
    writeChanged(checkpoint(), path, (name, values) => {
      if (name === 'fc.bias') values[0] = Infinity;
    });
    await untilShown(panel, 'what is new', (one) => one.text.includes('1 tensor with NaN or infinities'));
  });

  it('says what is wrong with a file that is none', async () => {
    const path = inFolder('notes.pth');
    writeFileSync(path, 'These are notes.\n');
    const panel = await openCheckpoint(path);
    await untilShown(panel, 'the sentence', ({ text }) =>
      /notes\.pth is neither a file written by torch\.save .*\s+Retry/.test(text),
    );
    await screenshot('checkpoint-refused');
  });
});

describe('comparing checkpoints', () => {
  it('shows how far each tensor moved, furthest first', async () => {
    const after = inFolder('after.safetensors');
    writeChanged(checkpoint(), after, (name, values) => {
      if (name === 'fc.weight') values.forEach((value, i) => (values[i] = 3 * value));
      if (name === 'layer1.0.conv1.weight') values.forEach((value, i) => (values[i] = 1.1 * value));
    });
    const files = [checkpoint(), after].map((path) => vscode.Uri.file(path));
    await vscode.commands.executeCommand('fcd.compareCheckpoints', files[0], files);
    const panel = (await lens()).checkpoints.open.find(({ file }) => file === checkpoint());
    ok(panel);
    await panel.whenCompared();
    const { text, tab } = await untilShown(
      panel,
      'the comparison',
      (one) => /\d+ of \d+ tensors moved\./.test(one.text) && one.text.includes('200.0 %'),
    );
    equal(tab, 'comparison');
    match(text, /2 of \d+ tensors moved\./);
    match(text, /fc\.weight[\s\S]*200\.0 %[\s\S]*layer1\.0\.conv1\.weight[\s\S]*10\.0 %/);
    await screenshot('checkpoint-comparison');
  });
});

describe('FCD: Import Pretrained Weights', () => {
  it('asks what no file tells, shows what would be loaded, and writes a checkpoint', async () => {
    const foreign = inFolder('foreign.safetensors');
    const out = inFolder('imported.safetensors');
    // Without what ours say of themselves it is a file of others.
    writeFileSync(foreign, withoutMetadata(readFileSync(checkpoint())));
    const window = vscode.window as { showSaveDialog: () => Thenable<vscode.Uri | undefined> };
    const before = window.showSaveDialog;
    window.showSaveDialog = () => Promise.resolve(vscode.Uri.file(out));
    const seen: string[][] = [];
    try {
      await answering(
        {
          pick: (items) => {
            seen.push(items.map(({ label }) => label));
            return items[0];
          },
        },
        () => vscode.commands.executeCommand('fcd.importWeights', vscode.Uri.file(foreign)),
      );
    } finally {
      window.showSaveDialog = before;
    }
    // Only compact has such tensors, so only the axes are asked for.
    deepEqual(seen[0], ['ijk', 'kji']);
    match(
      seen[1].join('\n'),
      /Write the checkpoint…\n[\s\S]*ResNet-10 \(compact, [\s\S]*axes ijk\)[\s\S]*\d+ tensors loaded/,
    );
    ok(existsSync(out));
    const listing = await (await compute()).request('checkpoint', { path: out });
    match(
      listing.facts[0].value,
      /^foreign\.safetensors; trained with geometry compact, axes ijk \(as was said at import\)/,
    );
  });
});

function withoutMetadata(bytes: Buffer): Buffer {
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString('utf8')) as Record<string, unknown>;
  delete header.__metadata__;
  const text = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([size, text, bytes.subarray(8 + length)]);
}
