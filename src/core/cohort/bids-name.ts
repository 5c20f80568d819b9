/** A BIDS file name taken apart: `sub-00001_acq-T2sel_FLAIR_roi.nii.gz`. */
export interface BidsName {
  /** `{ sub: '00001', acq: 'T2sel' }` */
  readonly entities: Readonly<Record<string, string>>;
  /** `FLAIR_roi`: everything behind the last entity, so that a mask's suffix never equals an image's. */
  readonly suffix: string;
  /** `.nii.gz` */
  readonly extension: string;
}

/** Takes a BIDS file name apart; undefined for hidden files (among them the `._` files that macOS leaves) and folders' names. */
export function parseBidsName(name: string): BidsName | undefined {
  if (name.startsWith('.')) return undefined;
  const dot = name.indexOf('.');
  if (dot < 0) return undefined;
  const parts = name.slice(0, dot).split('_');
  const entities: Record<string, string> = {};
  let position = 0;
  for (; position < parts.length; position++) {
    const dash = parts[position].indexOf('-');
    if (dash <= 0) break;
    entities[parts[position].slice(0, dash)] = parts[position].slice(dash + 1);
  }
  return { entities, suffix: parts.slice(position).join('_'), extension: name.slice(dot) };
}
