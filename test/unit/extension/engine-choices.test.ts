import { describe, expect, it } from 'vitest';
import { engineChoices, questionOf, titleOf } from '../../../src/extension/settings/engine-choices';
import type { EngineReportMessage } from '../../../src/protocol/compute';

const ON_A_GPU: EngineReportMessage = {
  engine: 'webgpu',
  module: null,
  threads: 1,
  precision: 'f16',
  node: 'v24.21.0',
  reason: 'asked for: a card',
  gpu: 'a card',
  background: false,
  selfTest: [
    { module: 'simd128-strict', ok: true, gflops: 55.2, detail: 'right' },
    { module: 'simd256', ok: true, gflops: 250.4, detail: 'right' },
  ],
};
const ON_THE_PROCESSOR: EngineReportMessage = {
  ...ON_A_GPU,
  ...{ engine: 'wasm', module: 'simd256', threads: 8, precision: 'f32', reason: 'the fastest', gpu: null },
};
const detailOf = (engine: string, now: string, tested = ON_A_GPU): string | undefined =>
  engineChoices(tested, false, now).find(({ value }) => value === engine)?.detail;

describe('the list of FCD: Select Engine', () => {
  it('says what "auto" comes to only where auto is set: another engine that was asked for tells nothing of it', () => {
    expect(detailOf('auto', 'auto', ON_THE_PROCESSOR)).toBe('Here: wasm simd256');
    expect(detailOf('auto', 'webgpu')).toBeUndefined();
    expect(detailOf('wasm', 'auto', ON_THE_PROCESSOR)).toBe('Here: the fastest');
    expect(detailOf('webgpu', 'webgpu')).toBe('a card');
  });

  it('ends in the kernel modules that work here, the fastest first', () => {
    const choices = engineChoices(ON_A_GPU, false, 'webgpu');
    expect(choices.slice(-2).map(({ value, description }) => `${value}: ${description}`)).toEqual([
      'simd256: 250 GFLOP/s on one thread',
      'simd128-strict: 55 GFLOP/s on one thread',
    ]);
  });

  it('counts one thread and many, and leaves the choice where the engine that is set fails', () => {
    expect(titleOf(ON_A_GPU)).toBe('Select Engine (Node.js v24.21.0, 1 thread)');
    expect(titleOf(ON_THE_PROCESSOR)).toContain('8 threads');
    const failed = { failure: 'No GPU.' };
    expect(questionOf(failed)).toBe('What is set does not compute here. Which engine should?');
    expect(engineChoices(failed, false, 'webgpu').map(({ value }) => value)).toContain('wasm');
  });
});
