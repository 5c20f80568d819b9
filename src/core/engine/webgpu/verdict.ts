import * as v from 'valibot';

const adapterSchema = v.object({
  vendor: v.string(),
  architecture: v.string(),
  description: v.string(),
  software: v.boolean(),
  features: v.array(v.string()),
  limits: v.record(v.string(), v.number()),
  dawn: v.string(),
});

/** Whether a GPU computes here, and how a trial of it ended. */
export const verdictSchema = v.object({
  /** It computes rightly. */
  right: v.boolean(),
  /** What was compared, or what went wrong, as a sentence without its full stop. */
  detail: v.string(),
  gflops: v.number(),
  adapter: v.optional(adapterSchema),
});
export type GpuVerdict = v.InferOutput<typeof verdictSchema>;

/** Why a GPU is not taken for everyday's work; undefined where it is. */
export function againstUse({ right, detail, adapter }: GpuVerdict): string | undefined {
  if (!right) return detail;
  return adapter?.software
    ? `${adapter.description} is a GPU in software, slower than the engine wasm`
    : undefined;
}
