import { describe, expect, it } from 'vitest';
import { engineMessage, engineOptions } from '../../../src/compute/methods/engine';
import type { EngineReport } from '../../../src/core/engine/engine';
import { USUAL_SETTINGS } from '../../../src/protocol/compute';

describe('what the compute process opens its engine with', () => {
  it('is precision and memory of a GPU as the settings have them', () => {
    expect(engineOptions(USUAL_SETTINGS)).toEqual({ precision: 'f32' });
    const gpu = { ...USUAL_SETTINGS, engine: 'webgpu', precision: 'f16', gpuMemory: 1.5 } as const;
    expect(engineOptions(gpu)).toEqual({ engine: 'webgpu', precision: 'f16', gpuMemory: 1.5 * 2 ** 30 });
  });

  it('is single precision in the background, where of itself no GPU is taken', () => {
    const half = { ...USUAL_SETTINGS, background: true, precision: 'f16' } as const;
    expect(engineOptions(half)).toEqual({ precision: 'f32', threads: 1 });
    expect(engineOptions({ ...half, engine: 'webgpu' })).toMatchObject({
      engine: 'webgpu',
      precision: 'f16',
    });
  });

  it('is a kernel module where the setting names one', () => {
    const named = { ...USUAL_SETTINGS, engine: 'simd128-strict', threads: 2 };
    expect(engineOptions(named)).toEqual({ precision: 'f32', module: 'simd128-strict', threads: 2 });
  });
});

describe('what the editor is told of its engine', () => {
  const report = (name: EngineReport['name']): EngineReport => ({
    name,
    precision: 'f32',
    threads: 1,
    node: 'v24.0.0',
    reason: 'asked for',
    selfTest: [],
  });
  const reason = (name: EngineReport['name'], gpuMemory: number) =>
    engineMessage(report(name), { ...USUAL_SETTINGS, gpuMemory }).reason;

  it('says where the limit of a GPU has no effect: where there is one and another engine computes', () => {
    expect(reason('wasm', 4)).toBe('asked for; fcd.gpuMemory, which limits a GPU, has no effect on it');
    expect(reason('wasm', 0)).toBe('asked for');
    expect(reason('webgpu', 4)).toBe('asked for');
  });
});
