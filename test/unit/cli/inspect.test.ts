import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectedTensors } from '../../../src/core/model/weights-of-network';
import { buildProgram } from '../../../src/core/model/program';
import { networkSpec } from '../../../src/core/model/spec';
import { writeSafetensors } from '../../../src/core/weights/safetensors';
import { fcd, fcdJson, scratchFolder } from './run-fcd';

const folder = scratchFolder();
const before = join(folder, 'before.safetensors');
const after = join(folder, 'after.safetensors');
const spec = networkSpec({ arch: 'resnet10', width: 0.125 });

/** Every value of a tensor is a wave; `change` may write over them. */
async function write(path: string, change: (name: string, values: Float32Array) => void): Promise<void> {
  const tensors = expectedTensors(buildProgram(spec, { fused: true })).map(({ name, shape }) => {
    const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i));
    change(name, data);
    return { name, shape, dtype: 'F32' as const, data };
  });
  await writeSafetensors(path, tensors, { comment: 'made up' });
}

beforeAll(async () => {
  await write(before, () => {});
  await write(after, (name, values) => {
    if (name === 'conv1.weight') values.fill(0, 3 * 343, 4 * 343);
    if (name === 'layer4.0.bn2.weight') values[5] = NaN;
    if (name === 'fc.weight') values.forEach((value, i) => (values[i] = 2 * value));
  });
});

describe('fcd inspect', () => {
  it('finds NaN and dead filters, and says what dead means', async () => {
    const { code, stdout, stderr } = await fcd(['inspect', after]);
    expect(code, stderr).toBe(0);
    expect(stdout).toContain('ResNet-10 (paper, shortcut B, width 1/8, axes ijk); geometry paper is assumed');
    expect(stdout).toContain('\ncomment: made up\n');
    expect(stdout).toMatch(/^conv1\.weight +8x1x7x7x7 +F32 .* 344 +1\/8 +\S*█/m);
    expect(stdout).toMatch(
      /^conv1\.weight: 1 of 8 filters are dead \(largest \|weight\| at most 1\/1000 .*\): 3$/m,
    );
    const { tensors } = (await fcdJson(['inspect', after])) as { tensors: { name: string; nan: number }[] };
    expect(tensors.filter(({ nan }) => nan > 0).map(({ name, nan }) => [name, nan])).toEqual([
      ['layer4.0.bn2.weight', 1],
    ]);
  });

  it('tells what moved, furthest first', async () => {
    const { compare } = (await fcdJson(['inspect', before, '--compare', after])) as {
      compare: { changes: { name: string; relative: number; changed: number; notFinite: number }[] };
    };
    const moved = compare.changes.filter(({ changed }) => changed > 0);
    expect(moved.map(({ name }) => name)).toEqual(['fc.weight', 'conv1.weight']);
    expect(moved[0].relative).toBeCloseTo(1, 6);
    expect(moved[1].relative).toBeCloseTo(Math.sqrt(1 / 8), 2);
    expect(compare.changes.find(({ name }) => name === 'layer4.0.bn2.weight')).toMatchObject({
      changed: 0,
      notFinite: 1,
    });
    const { stdout } = await fcd(['inspect', before, '--compare', after]);
    expect(stdout).toMatch(/: 2 of \d+ tensors moved\n/);
  });

  it('lists the layers on a grid, in the geometry that is asked for', async () => {
    const at = async (geometry: string) =>
      (
        (await fcdJson(['inspect', before, '--grid', '32x64x48', '--geometry', geometry])) as {
          layers: { layers: { name: string; grid: number[] | null }[] };
        }
      ).layers.layers.find(({ name }) => name === 'layer4.0.conv1')?.grid;
    expect(await at('paper')).toEqual([2, 2, 2]);
    expect(await at('medicalnet')).toEqual([4, 8, 6]);
  });

  it('refuses with a sentence what it cannot read or is not asked rightly', async () => {
    const text = join(folder, 'notes.pth');
    writeFileSync(text, 'These are notes.');
    const wrong = await fcd(['inspect', text]);
    expect([wrong.code, wrong.stdout]).toEqual([1, '']);
    expect(wrong.stderr).toMatch(/^fcd: .*notes\.pth is neither a file written by torch\.save/);
    expect((await fcd(['inspect', before, '--grid', 'large'])).stderr).toMatch(/"large" is no grid/);
    const { stdout } = await fcd(['inspect', before, '--geometry', 'compact', '--grid', '32']);
    expect(stdout).toContain(
      'Its tensors are not those of geometry compact; they can be of paper, medicalnet, monai.',
    );
  });
});
