export function shareOfCeiling(
  ceilings: { readonly copy: number; readonly f32: number; readonly f16?: number },
  work: {
    readonly flops: number;
    readonly bytes?: number;
    readonly ms: number;
    readonly precision: 'f32' | 'f16';
  },
): { readonly share: number; readonly bound: 'arithmetic' | 'memory' } | undefined;
