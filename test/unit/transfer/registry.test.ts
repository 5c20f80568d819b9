import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { describe, expect, it, vi } from 'vitest';
import { buildProgram } from '../../../src/core/model/program';
import { recogniseNetwork } from '../../../src/core/model/recognise';
import { networkSpec } from '../../../src/core/model/spec';
import { expectedTensors } from '../../../src/core/model/weights-of-network';
import { importWeights } from '../../../src/core/transfer/import-weights';
import * as registryModule from '../../../src/core/transfer/registry';
import { encodeSafetensors } from '../../../src/core/weights/safetensors';
import { ROOT } from '../../peers';

const { registry, registrySchema } = registryModule;

describe('models/registry.json', () => {
  const json: unknown = JSON.parse(readFileSync(join(ROOT, 'models/registry.json'), 'utf8'));

  it('follows its schema, and what the schema forbids is refused', () => {
    const { weights, ...rest } = v.parse(registrySchema, json);
    expect(weights.length).toBe(4);
    for (const broken of [
      { sha256: 'ABC' },
      { axes: 'xyz' },
      { arch: 'resnet152' },
      { surprise: 1 },
      { tensors: 1.5 },
    ])
      expect(v.safeParse(registrySchema, { ...rest, weights: [{ ...weights[0], ...broken }] }).success).toBe(
        false,
      );
  });

  it('names things once; bytes and hash are known together, with who told them', () => {
    const all = registry();
    for (const key of ['id', 'file'] as const)
      expect(new Set(all.map((one) => one[key])).size).toBe(all.length);
    for (const { sha256, bytes, hashFrom } of all)
      expect(
        [sha256 === null, bytes === null, hashFrom === null].every((none) => none === (sha256 === null)),
      ).toBe(true);
  });

  it("holds the two published hashes under MedicalNet's geometry and axes", () => {
    const known = registry().filter(({ sha256 }) => sha256 !== null);
    expect(known.map(({ file, bytes, from }) => [file, bytes, from.geometry, from.axes])).toEqual([
      ['resnet_18_23dataset.pth', 131_992_196, 'medicalnet', 'kji'],
      ['resnet_50_23dataset.pth', 184_885_051, 'medicalnet', 'kji'],
    ]);
  });

  it.each(registry())('$id: our network of full width has its tensors and learnable values', (entry) => {
    const { arch, shortcut, tensors, trainable, bytes } = entry;
    const program = buildProgram(networkSpec({ arch, shortcut, geometry: 'medicalnet' }), { fused: true });
    const encoder = expectedTensors(program).filter(({ name }) => !name.startsWith('fc.'));
    const counters = program.norms.size;
    expect(encoder.length + counters).toBe(tensors);
    const valuesOf = (list: typeof encoder): number =>
      list.reduce((sum, { shape }) => sum + shape.reduce((product, n) => product * n, 1), 0);
    expect(valuesOf(encoder.filter(({ name }) => !name.includes('.running_')))).toBe(trainable);
    // And what is recognised from these names and shapes is what the registry says.
    const shapes = new Map(encoder.map(({ name, shape }) => [`module.${name}`, { shape }]));
    expect(recogniseNetwork(shapes)).toMatchObject({ arch, shortcut, width: 1, inChannels: 1 });
    // The published file is as large as its values and a little more for names.
    if (bytes !== null) {
      const least = 4 * valuesOf(encoder) + 8 * counters;
      expect(bytes).toBeGreaterThan(least);
      expect(bytes - least).toBeLessThan(300 * tensors);
    }
  });
});

describe('a file that the registry knows', () => {
  it('needs no flags: geometry and axes are those of its bytes; another geometry is warned of', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'fcd-registry-'));
    const program = buildProgram(networkSpec({ arch: 'resnet10', width: 1 / 8 }), { fused: true });
    const bytes = encodeSafetensors(
      expectedTensors(program)
        .filter(({ name }) => !name.startsWith('fc.'))
        .map(({ name, shape }) => ({
          name: `module.${name}`,
          shape,
          dtype: 'F32' as const,
          data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.5),
        })),
    );
    const path = join(folder, 'resnet_18_23dataset.pth');
    const out = join(folder, 'model.safetensors');
    writeFileSync(path, bytes);
    try {
      // The name alone vouches for nothing.
      await expect(importWeights({ path, out, given: {}, acceptDefaults: false })).rejects.toThrow(
        /neither the file nor the registry of known files says/,
      );
      const unknown = await importWeights({ path, out, given: {}, acceptDefaults: true });
      expect(unknown.warnings[0]).toMatch(/has the name of a file of MedicalNet .*, but not its bytes/);

      const sha256 = createHash('sha256').update(bytes).digest('hex');
      const known = { ...registry()[0], sha256 };
      const spy = vi
        .spyOn(registryModule, 'registeredBytes')
        .mockImplementation((asked) => (asked === sha256 ? known : undefined));
      const plain = await importWeights({ path, out, given: {}, acceptDefaults: false });
      expect(plain.spec).toMatchObject({ geometry: 'medicalnet', axes: 'kji' });
      expect(plain.record).toMatchObject({
        registry: 'medicalnet-resnet10-23dataset',
        sha256,
        bytes: bytes.length,
        trained: { geometry: 'medicalnet', axes: 'kji', by: 'registry' },
      });
      expect(plain.warnings).toEqual([]);
      const other = await importWeights({
        path,
        out,
        given: { geometry: 'paper', axes: 'ijk' },
        acceptDefaults: false,
      });
      expect(other.spec).toMatchObject({ geometry: 'paper', axes: 'ijk' });
      expect(other.record.trained).toEqual({ geometry: 'medicalnet', axes: 'kji', by: 'registry' });
      expect(other.warnings).toEqual([
        'The weights were trained with geometry medicalnet, this network has geometry paper: the same numbers compute another function.',
        'The weights were trained with axes kji, this network has axes ijk: the same numbers compute another function.',
      ]);
      spy.mockRestore();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
