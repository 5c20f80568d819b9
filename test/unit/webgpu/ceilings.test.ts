import { expect, it } from 'vitest';
import { measureCeilings } from '../../../scripts/bench/gpu/ceilings';
import { gpuLayer } from '../../../scripts/bench/gpu/gpu-layer';
import { onSoftwareGpu } from './on-software-gpu';

const cube = (n: number) => [n, n, n] as const;

onSoftwareGpu('the benchmark of a GPU', () => {
  it('has ceilings of kernels that multiply rightly, in single and in half precision', async () => {
    const { copy, f32, f16, f32Products, f16Products } = await measureCeilings();
    expect([...f32Products, ...f16Products].filter(({ failed }) => failed)).toEqual([]);
    expect(f16Products).toHaveLength(2);
    expect([copy > 0, f32 > 0, (f16 ?? 0) > 0]).toEqual([true, true, true]);
  });

  it('gives as many times of each pass as were asked for, with its work and what it moves', async () => {
    const passes = ['forward', 'input gradient', 'filter gradient'] as const;
    const shape = { batch: 1, input: cube(4), inChannels: 8, outChannels: 16, kernel: cube(3) };
    const attrs = { stride: cube(1), padding: cube(1), dilation: cube(1) };
    const answer = (await gpuLayer({ ...shape, ...attrs, passes, repeats: 2, leastMs: 1 })) as Record<
      string,
      number[] | number
    >;
    for (const pass of passes) expect(answer[pass]).toHaveLength(2);
    expect(answer.flops).toBe(2 * 4 ** 3 * 27 * 8 * 16);
    expect(answer.bytes).toBe(4 * (4 ** 3 * 8 + 27 * 8 * 16 + 4 ** 3 * 16));
  });
});
