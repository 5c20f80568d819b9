/**
 * How much of what the device can do at most some work reaches: the time that its arithmetic and its memory traffic would
 * need at the measured ceilings, whichever is longer, by the time that it took. Algorithms that need fewer products
 * (Winograd's) may pass 1.
 * @param {{ copy: number, f32: number, f16?: number }} ceilings GB/s and TFLOP/s (ceilings.ts)
 * @param {{ flops: number, bytes?: number, ms: number, precision: 'f32' | 'f16' }} work
 */
export function shareOfCeiling(ceilings, { flops, bytes = 0, ms, precision }) {
  const tflops = precision === 'f16' ? (ceilings.f16 ?? ceilings.f32) : ceilings.f32;
  if (!(tflops > 0)) return undefined;
  const arithmetic = flops / tflops / 1e9;
  const traffic = ceilings.copy > 0 ? bytes / ceilings.copy / 1e6 : 0;
  return {
    share: Math.max(arithmetic, traffic) / ms,
    bound: arithmetic >= traffic ? 'arithmetic' : 'memory',
  };
}
