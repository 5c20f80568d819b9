import { afterEach, describe, expect, it, vi } from 'vitest';
import { withEngine, withEngineOf } from '../../../src/cli/engine';
import type { RunRecord } from '../../../src/protocol/run';
import { haveSoftwareGpu, useSoftwareGpu } from '../../software-gpu';

const GIB = 2 ** 30;
const NO_EFFECT = (engine: string) =>
  `--gpu-memory (fcd.gpuMemory in the editor's settings) has no effect here: it limits what the engine webgpu takes of a GPU, and the engine ${engine} computes.\n`;

/** What is said beside the result, by work that computes nothing. */
async function said(work: () => Promise<unknown>): Promise<string[]> {
  const lines: string[] = [];
  vi.spyOn(process.stderr, 'write').mockImplementation((line) => {
    lines.push(String(line));
    return true;
  });
  await work();
  vi.restoreAllMocks();
  return lines;
}

describe("a limit of a GPU's memory", () => {
  afterEach(() => vi.restoreAllMocks());
  const nothing = () => Promise.resolve();

  it('is said once to have no effect where another engine computes, and is no mistake', async () => {
    const limited = () => withEngine({ engine: 'cpu', gpuMemory: 4 * GIB }, nothing);
    expect(await said(() => limited())).toEqual([NO_EFFECT('cpu')]);
    expect(await said(() => withEngine({ engine: 'cpu' }, nothing))).toEqual([]);
    const begun = {
      engine: { name: 'wasm', module: 'simd128-strict', threads: 1, node: process.version },
    } as RunRecord;
    expect(await said(() => withEngineOf(begun, { gpuMemory: 4 * GIB }, nothing))).toEqual([
      NO_EFFECT('wasm'),
    ]);
  });

  it.runIf(haveSoftwareGpu('lavapipe'))('is kept to where a GPU computes, without a word', async () => {
    useSoftwareGpu('lavapipe');
    expect(await said(() => withEngine({ engine: 'webgpu', gpuMemory: GIB }, nothing))).toEqual([]);
  });
});
