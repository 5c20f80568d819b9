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

/** Reads every line of some rows of `run` bytes, `pitch` apart, four rows at a time. */
export function warmRows(from: usize, rows: i32, run: usize, pitch: usize): void {
  if (run == pitch) return warm(from, <usize>rows * pitch);
  run += from & (LINE - 1);
  from &= ~(LINE - 1);
  let sum: u32 = 0;
  for (; rows >= 4; rows -= 4) {
    for (let line = from, end = from + run; line < end; line += LINE)
      sum += load<u32>(line) + load<u32>(line + pitch) + load<u32>(line + 2 * pitch) + load<u32>(line + 3 * pitch);
    from += 4 * pitch;
  }
  for (; rows > 0; rows--) {
    for (let line = from, end = from + run; line < end; line += LINE) sum += load<u32>(line);
    from += pitch;
  }
  store<u32>(NOTHING, sum);
}
