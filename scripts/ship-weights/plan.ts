import { smallWidth } from '../../src/extension/tasks/command-line';

/** The depths of the study, at the widths of the small grid. */
export const DEPTHS = ['resnet18', 'resnet34', 'resnet50'] as const;
export type Depth = (typeof DEPTHS)[number];

/** All files together; they lie in the clone and in the packaged extension. */
export const LIMIT_BYTES = 12_000_000;

/** One file of weights. */
export interface ShippedPlan {
  readonly arch: Depth;
  /** As the command line writes it. */
  readonly width: string;
  readonly strategy: 'single:gm' | 'multi:23';
  /** Name of run, file and card. */
  readonly name: string;
}

/** What is shipped: every depth with one task and with 23. */
export function shippedPlans(): ShippedPlan[] {
  return DEPTHS.flatMap((arch) =>
    (['single:gm', 'multi:23'] as const).map((strategy) => ({
      arch,
      width: smallWidth(arch),
      strategy,
      name: `${strategy.replace(':', '-')}-${arch}`,
    })),
  );
}
