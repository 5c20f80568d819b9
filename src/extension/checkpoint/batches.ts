/** Bytes of a batch: some dozens of milliseconds of work, so that numbers keep arriving. */
const BATCH_BYTES = 24_000_000;
/** Of the first one, so that something stands there at once. */
const FIRST_BYTES = 2_000_000;
/** Small tensors cost time, too. */
const MOST_TOGETHER = 100;

/** Cuts a list into batches of neighbours; what is larger than a batch is alone. */
export function batches<T extends { readonly bytes: number }>(items: readonly T[]): T[][] {
  const cut: T[][] = [];
  let batch: T[] = [];
  let bytes = 0;
  for (const item of items) {
    const limit = cut.length === 0 ? FIRST_BYTES : BATCH_BYTES;
    if (batch.length > 0 && (bytes + item.bytes > limit || batch.length === MOST_TOGETHER)) {
      cut.push(batch);
      batch = [];
      bytes = 0;
    }
    batch.push(item);
    bytes += item.bytes;
  }
  if (batch.length > 0) cut.push(batch);
  return cut;
}
