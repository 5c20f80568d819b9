import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runPart } from '../../../scripts/gpu-trial/run-part.mjs';
import { waysToGpu } from '../../../scripts/gpu-trial/vulkan-drivers.mjs';

const scratch = mkdtempSync(join(tmpdir(), 'fcd-gpu-trial-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

let count = 0;

/** A part whose programs have these texts; each may write to `process.argv[2]`. */
function part(...texts: string[]) {
  const programs = texts.map((text) => {
    const [program, file] = [join(scratch, `${++count}.mjs`), join(scratch, `${count}.json`)];
    writeFileSync(program, `import { writeFileSync } from 'node:fs';\n${text}`);
    return { args: [program, file], file };
  });
  return { name: 'made-up', title: 'made up', programs };
}

const limits = (minutes = 1, signal = new AbortController().signal) => ({
  minutes,
  env: { TOLD: 'yes' },
  log: join(scratch, 'trial.log'),
  signal,
});

const writes = (value: string) => `writeFileSync(process.argv[2], JSON.stringify(${value}));`;
const waits = 'setInterval(() => {}, 1000);';

describe('a part of a trial', () => {
  it('gives what its programs wrote', async () => {
    const record = await runPart(part(writes('process.env.TOLD'), writes('2')), limits());
    expect(record).toMatchObject({ state: 'done', results: ['yes', 2] });
    expect(record.sentence).toBeUndefined();
  });

  it('that fails says why, and its other programs go on', async () => {
    const record = await runPart(
      part(`${writes('1')} throw new Error('The GPU is gone.')`, writes('2')),
      limits(),
    );
    expect(record).toMatchObject({
      state: 'failed',
      sentence: 'The GPU is gone. (exit code 1)',
      results: [1, 2],
    });
    expect(readFileSync(join(scratch, 'trial.log'), 'utf8')).toContain('Error: The GPU is gone.');
  });

  it('that takes its process down says by which signal', async () => {
    const record = await runPart(part("process.kill(process.pid, 'SIGSEGV');"), limits());
    expect(record).toMatchObject({ state: 'failed' });
    expect(record.sentence).toContain('(SIGSEGV)');
  });

  it('ends with its time, and keeps what it has by then', async () => {
    const record = await runPart(part(`${writes('1')} ${waits}`, writes('2')), limits(0.1));
    expect(record).toMatchObject({
      state: 'out of time',
      sentence: 'Not finished within 0.1 minutes (--minutes).',
      results: [1],
    });
  });

  it('ends when it is stopped, and keeps what it has by then', async () => {
    const stop = new AbortController();
    const long = part(`${writes('1')} ${waits}`, writes('2'));
    const look = setInterval(() => existsSync(long.programs[0].file) && stop.abort(), 50);
    const record = await runPart(long, limits(1, stop.signal));
    clearInterval(look);
    expect(record).toMatchObject({ state: 'stopped', sentence: 'Stopped by hand.', results: [1] });
  });
});

describe('ways to a GPU', () => {
  it('begin with what the system has, and lead to an NVIDIA library that no file names', () => {
    const libraries = ['/lib/libGLX_nvidia.so.0', '/lib/libEGL_nvidia.so.0'];
    const ways = waysToGpu({ out: scratch, libraries });
    expect(ways[0]).toEqual({ name: 'as the system has it', env: {} });
    const [egl, glx] = ways.slice(-2);
    expect([egl.name, glx.name]).toEqual([
      '/lib/libEGL_nvidia.so.0, which no file named',
      '/lib/libGLX_nvidia.so.0, which no file named',
    ]);
    const manifest = JSON.parse(readFileSync(egl.env.VK_DRIVER_FILES, 'utf8')) as {
      ICD: { library_path: string };
    };
    expect(manifest.ICD.library_path).toBe('/lib/libEGL_nvidia.so.0');
  });

  it('are one where the driver is named, for loaders old and new', () => {
    expect(waysToGpu({ icd: '/some/icd.json', out: scratch, libraries: [] })).toEqual([
      {
        name: '/some/icd.json',
        env: { VK_DRIVER_FILES: '/some/icd.json', VK_ICD_FILENAMES: '/some/icd.json' },
      },
    ]);
  });
});
