// Bringing memory near. The machine fetches ahead only where it sees lines follow each other within a page, and waits at
// every page's end; so what a kernel is about to read, in whatever order, is read once before, as four streams at a time.

/** Where the sum of what was read goes, lest the compiler leaves the reading out. */
const NOTHING: usize = memory.data(64);
const LINE: usize = 64;
const PAGE: usize = 4096;

/** Reads every line of a block of at most a few hundred KB, which then lies in a second-level cache. */
export function warm(from: usize, bytes: usize): void {
  const quarter = (bytes >> 2) & ~(LINE - 1);
  const end = from + bytes;
  let sum: u32 = 0;
  if (quarter >= PAGE) {
    for (const last = from + quarter; from < last; from += LINE)
      sum += load<u32>(from) + load<u32>(from + quarter) + load<u32>(from + 2 * quarter) + load<u32>(from + 3 * quarter);
    from += 3 * quarter;
  }
  for (; from < end; from += LINE) sum += load<u32>(from);
  store<u32>(NOTHING, sum);
}
