import { join } from 'node:path';
import { CancellationTokenSource } from 'vscode-jsonrpc/node';
import { describe, expect, it } from 'vitest';
import { ComputeChild } from '../../../src/extension/compute/child';
import { USUAL_SETTINGS } from '../../../src/protocol/compute';
import { haveSoftwareGpu, SOFTWARE_GPUS } from '../../software-gpu';
import { fcd } from '../cli/run-fcd';
import { COMPUTE_MAIN } from '../compute/tiny-study';

const SWIFTSHADER = { VK_ICD_FILENAMES: SOFTWARE_GPUS.swiftshader };

/** What it is, what to do at a terminal and in the editor, and what to do with a run that cannot go on. */
const REFUSAL =
  /^(?:fcd: )?The GPU .*SwiftShader.* has no half precision: it lacks the feature shader-f16\. Leave that out \(--precision f16; fcd\.precision in the editor's settings\), for single precision works on it\. A run that began in half precision goes on with --engine wasm, on the processor\.$/m;

// Chromium's GPU in software has no half precision, as many a real one.
describe.runIf(haveSoftwareGpu('swiftshader'))('half precision on a GPU that has none', () => {
  it('is refused by the command line before anything is read', async () => {
    const nowhere = join('no', 'such', 'file');
    const flags = ['--engine', 'webgpu', '--precision', 'f16'];
    const { code, stdout, stderr } = await fcd(
      ['predict', '--model', nowhere, '--input', nowhere, ...flags, '--json'],
      { env: SWIFTSHADER },
    );
    expect(stderr).toMatch(REFUSAL);
    expect(stderr).not.toContain('unexpected');
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  });

  it('is refused by the compute process, which goes on', async () => {
    const child = new ComputeChild(
      {
        main: COMPUTE_MAIN,
        runtime: {
          path: process.execPath,
          args: [],
          env: SWIFTSHADER,
          version: process.version,
          reason: 'the test',
        },
        settings: { ...USUAL_SETTINGS, engine: 'webgpu', precision: 'f16' },
      },
      { onEngine: () => {}, onLine: () => {} },
    );
    const ask = () => child.send('engine', {}, new CancellationTokenSource().token, () => {});
    try {
      await expect(ask()).rejects.toThrow(REFUSAL);
      await expect(ask()).rejects.toThrow(REFUSAL);
    } finally {
      child.kill();
      await child.ended;
    }
  });
});
