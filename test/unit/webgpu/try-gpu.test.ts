import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { noGpuHere, tryGpu } from '../../../src/core/engine/webgpu/try-gpu';
import { againstUse } from '../../../src/core/engine/webgpu/verdict';
import { haveSoftwareGpu, useSoftwareGpu } from '../../software-gpu';

const folder = mkdtempSync(join(tmpdir(), 'fcd-gpu-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function program(text: string): string {
  const path = join(folder, `${text.length}.mjs`);
  writeFileSync(path, text);
  return path;
}

describe('a trial of the GPU', () => {
  it.runIf(haveSoftwareGpu('lavapipe'))('says what it is and that it computes rightly', async () => {
    useSoftwareGpu('lavapipe');
    const verdict = await tryGpu();
    expect(verdict).toMatchObject({ right: true, adapter: { vendor: 'mesa', software: true } });
    expect(verdict.detail).toMatch(/^largest error \d\.\de-\d of the largest value$/);
    expect(verdict.gflops).toBeGreaterThan(0);
    expect(againstUse(verdict)).toMatch(/is a GPU in software, slower than the engine wasm$/);
    expect(againstUse({ ...verdict, adapter: { ...verdict.adapter!, software: false } })).toBeUndefined();
  });

  it('survives a driver that takes the process down', async () => {
    const verdict = await tryGpu(10_000, program("process.kill(process.pid, 'SIGSEGV');"));
    expect(verdict.right).toBe(false);
    expect(verdict.detail).toBe(
      'a trial of the GPU took its process down (SIGSEGV): its driver or Dawn is faulty',
    );
    expect(againstUse(verdict)).toBe(verdict.detail);
  });

  it('does not wait for a driver that hangs', async () => {
    const verdict = await tryGpu(300, program('setInterval(() => {}, 1000);'));
    expect(verdict).toMatchObject({ right: false, detail: /did not end within 0.3 s/ });
  });

  it('takes no word that is none', async () => {
    const verdict = await tryGpu(10_000, program('console.log(JSON.stringify({ right: "yes" }));'));
    expect(verdict).toMatchObject({ right: false, detail: /exit code 0/ });
  });

  it('is not made where the machine shows no GPU, and the reason is told', () => {
    const why = noGpuHere();
    if (why !== undefined) expect(why).toMatch(/shows no GPU|is not installed/);
  });
});
