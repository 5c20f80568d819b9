import * as v from 'valibot';
import { TABS } from '../../protocol/inspector';

/** How a checkpoint is looked at; kept by VS Code while the page does not exist. */
const stateSchema = v.object({
  tab: v.picklist(TABS),
  selected: v.nullable(v.string()),
  /** Groups that were opened or closed by hand. */
  opened: v.record(v.string(), v.boolean()),
  filter: v.string(),
  onlyFindings: v.boolean(),
  logarithmic: v.boolean(),
  ownScale: v.boolean(),
  /** Null: that of the file. */
  grid: v.nullable(v.string()),
  geometry: v.nullable(v.string()),
});
export type InspectorState = v.InferOutput<typeof stateSchema>;

export const FRESH_STATE: InspectorState = {
  tab: 'tensors',
  selected: null,
  opened: {},
  filter: '',
  onlyFindings: false,
  logarithmic: false,
  ownScale: false,
  grid: null,
  geometry: null,
};

export function restoredState(kept: unknown): InspectorState {
  const parsed = v.safeParse(stateSchema, kept);
  return parsed.success ? parsed.output : FRESH_STATE;
}
