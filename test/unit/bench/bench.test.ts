import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../../peers';

const bench = join(ROOT, 'scripts/bench/bench.mjs');
const out = join(tmpdir(), `fcd-bench-${process.pid}.json`);

describe('the benchmark', () => {
  it('ends quietly when nobody reads on', async () => {
    const child = spawn(process.execPath, [bench, '--only', 'nothing', '--threads', '1', '--out', out], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.destroy();
    let said = '';
    child.stderr.on('data', (text: Buffer) => (said += text.toString()));
    const [code] = (await once(child, 'exit')) as [number];
    expect([code, said]).toEqual([0, '']);
  });

  it('measures what it is asked for, writes it down and ends with the headlines', () => {
    const run = spawnSync(
      process.execPath,
      [bench, '--only', 'layers 1x1x1', '--rounds', '1', '--threads', '1', '--out', out],
      { encoding: 'utf8' },
    );
    expect(run.stderr).toBe('');
    const { layers, grids, cases, threads } = JSON.parse(readFileSync(out, 'utf8')) as {
      layers: { name: string; gflops: number; ofPeak: number }[];
      grids: unknown[];
      cases: unknown[];
      threads: number;
    };
    expect(layers).toHaveLength(3);
    expect(
      layers.every(({ name, gflops, ofPeak }) => /^layers 1x1x1/.test(name) && gflops > 0 && ofPeak > 0),
    ).toBe(true);
    expect([grids, cases, threads]).toEqual([[], [], 1]);
  });

  it('refuses what it does not know', () => {
    const run = spawnSync(process.execPath, [bench, '--peer', 'jax'], { encoding: 'utf8' });
    expect(run.status).toBe(1);
    expect(run.stderr).toContain('--peer knows "torch", not "jax".');
  });
});
