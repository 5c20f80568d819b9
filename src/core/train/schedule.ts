/** How the learning rate moves over a run, as a factor of its base value. */
export type Schedule =
  | { readonly kind: 'constant' }
  /** Multiplied by `factor` after every epoch (MedicalNet: 0.99). */
  | { readonly kind: 'exponential'; readonly factor: number }
  | { readonly kind: 'cosine'; readonly warmup: number }
  /** Linear warm-up over the first `warmup` share of steps, flat, linear decay to 0 over the last `decay` share. */
  | { readonly kind: 'trapezoid'; readonly warmup: number; readonly decay: number };

/** Factor for step `step` (0-based) of `total`, `stepsPerEpoch` steps an epoch. */
export function scheduleFactor(
  schedule: Schedule,
  step: number,
  total: number,
  stepsPerEpoch: number,
): number {
  switch (schedule.kind) {
    case 'constant':
      return 1;
    case 'exponential':
      return schedule.factor ** Math.floor(step / stepsPerEpoch);
    case 'cosine': {
      const warm = Math.round(schedule.warmup * total);
      if (step < warm) return (step + 1) / warm;
      return 0.5 * (1 + Math.cos((Math.PI * (step - warm)) / Math.max(1, total - warm)));
    }
    case 'trapezoid': {
      const warm = Math.round(schedule.warmup * total);
      const falling = Math.round(schedule.decay * total);
      if (step < warm) return (step + 1) / warm;
      if (step >= total - falling) return (total - step) / (falling + 1);
      return 1;
    }
  }
}
