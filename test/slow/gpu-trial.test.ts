import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT } from '../peers';
import { SOFTWARE_GPUS, haveSoftwareGpu } from '../software-gpu';

interface TrialResults {
  readonly gpu: {
    readonly right: boolean;
    readonly adapter?: { readonly software: boolean; readonly description: string };
  };
  readonly made: { readonly version: string; readonly target: string };
  readonly machine: { readonly node: string };
  readonly parts: readonly { readonly name: string; readonly state: string; readonly sentence?: string }[];
  readonly figures: readonly { readonly figure: string; readonly reached: boolean | null }[];
}

// What a bare machine gets: it is packed, unpacked into an empty folder, and tries the GPU there with the Node that it brings.
describe.runIf(haveSoftwareGpu('lavapipe') && `${process.platform}-${process.arch}` === 'linux-x64')(
  'the trial of a GPU, packed',
  () => {
    const scratch = mkdtempSync(join(tmpdir(), 'fcd-gpu-trial-test-'));
    const archive = join(scratch, 'trial.tar.gz');
    const run = join(scratch, 'there/fcd-gpu-trial/run.sh');
    afterAll(() => rmSync(scratch, { recursive: true, force: true }));

    /** No Node of this machine, and nothing of the checkout. */
    const bare = { PATH: '/usr/bin:/bin', HOME: process.env.HOME ?? scratch, TMPDIR: scratch };
    const options = ['--quick', '--no-torch', '--icd', SOFTWARE_GPUS.lavapipe];

    const resultsIn = (folder: string) =>
      JSON.parse(readFileSync(join(folder, 'results.json'), 'utf8')) as TrialResults;

    beforeAll(() => {
      const pack = join(ROOT, 'scripts/gpu-trial/pack.mjs');
      const packed = spawnSync(process.execPath, [pack, '--out', archive, '--level', '0'], {
        encoding: 'utf8',
      });
      expect(packed.status, packed.stderr).toBe(0);
      const there = join(scratch, 'there');
      const unpacked = spawnSync('sh', ['-c', `mkdir ${there} && tar -xzf ${archive} -C ${there}`]);
      expect(unpacked.status, unpacked.stderr.toString()).toBe(0);
    });

    it('has at most 60 MB', () => {
      expect(statSync(archive).size).toBeLessThanOrEqual(60_000_000);
    });

    it('tries the GPU and writes down what came of it', () => {
      const out = join(scratch, 'out');
      const only = ['ceilings', 'conformance-f32', 'scans', 'curves'].flatMap((part) => ['--only', part]);
      const tried = spawnSync('sh', [run, '--out', out, ...options, ...only], {
        encoding: 'utf8',
        env: bare,
      });
      const log = join(out, 'trial.log');
      expect(
        tried.status,
        tried.stdout + tried.stderr + (existsSync(log) ? readFileSync(log, 'utf8') : ''),
      ).toBe(0);
      const { gpu, made, machine, parts, figures } = resultsIn(out);
      expect(gpu).toMatchObject({ right: true, adapter: { software: true } });
      expect(made.target).toBe('linux-x64');
      expect(machine.node).toMatch(/^v24\./);
      expect(parts.map(({ name, state, sentence = '' }) => `${name} ${state} ${sentence}`.trim())).toEqual([
        'ceilings done',
        'conformance-f32 done',
        'scans done',
        'curves done',
      ]);
      expect(figures.map(({ figure }) => figure)).toContain('networks in f32 that agree with PyTorch');
      expect(figures.filter(({ reached }) => !reached)).toEqual([]);
      const summary = readFileSync(join(out, 'summary.md'), 'utf8');
      expect(summary).toContain('**This GPU is software: the processor computes.');
      expect(summary).toContain('| loss curves of webgpu-f16 beside wasm, 2 seeds |');
    });

    it('keeps what is done when it is stopped', async () => {
      const out = join(scratch, 'stopped');
      const child = spawn('sh', [run, '--out', out, ...options, '--only', 'ceilings', '--only', 'steps'], {
        env: bare,
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        if (text.includes('steps: ')) child.kill('SIGINT');
      });
      const [code] = (await once(child, 'exit')) as [number];
      expect(code).toBe(130);
      const states = resultsIn(out).parts.map(({ name, state }) => `${name} ${state}`);
      expect(states).toEqual(['ceilings done', 'steps stopped']);
    });

    it('says what it lacks where there is no GPU', () => {
      const out = join(scratch, 'none');
      const none = spawnSync('sh', [run, '--out', out, '--quick', '--no-torch'], {
        encoding: 'utf8',
        env: { ...bare, VK_ICD_FILENAMES: '/nonexistent', VK_DRIVER_FILES: '/nonexistent' },
      });
      expect(none.status).toBe(1);
      expect(none.stdout).toContain('No GPU computes here: as the system has it: WebGPU finds no GPU here');
      expect(resultsIn(out).parts.every(({ state }) => state === 'not run')).toBe(true);
    });
  },
);
