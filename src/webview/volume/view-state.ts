import * as v from 'valibot';

/** How a scene is looked at; kept by VS Code while the page does not exist. */
const viewStateSchema = v.object({
  /** The scan it belongs to: another scan starts afresh. */
  image: v.string(),
  mm: v.nullable(v.pipe(v.array(v.number()), v.length(3))),
  volume: v.number(),
  window: v.nullable(v.pipe(v.array(v.number()), v.length(2))),
  pose: v.nullable(v.pipe(v.array(v.number()), v.length(2))),
  hidden: v.boolean(),
  /** By the overlay's kind; a threshold belongs to one file. */
  overlays: v.record(
    v.string(),
    v.object({
      visible: v.boolean(),
      opacity: v.number(),
      threshold: v.nullable(v.number()),
      path: v.string(),
    }),
  ),
});
export type ViewState = v.InferOutput<typeof viewStateSchema>;
export type OverlayState = ViewState['overlays'][string];

export function freshState(image: string): ViewState {
  return { image, mm: null, volume: 0, window: null, pose: null, hidden: false, overlays: {} };
}

/** What VS Code kept, where it is a state of this scan; else a fresh one. */
export function restoredState(kept: unknown, image: string): ViewState {
  const parsed = v.safeParse(viewStateSchema, kept);
  return parsed.success && parsed.output.image === image ? parsed.output : freshState(image);
}
