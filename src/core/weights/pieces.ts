import { checkRange, unfilled, type ByteSource } from './byte-source';
import type { ValueOptions } from './open-weights';

/** A run of a file's bytes that is read at once, and what is made of it. */
export interface Piece<T> {
  readonly offset: number;
  readonly length: number;
  /** Bytes left free before it in memory, so that what lies within it is aligned for its values; less than 8. */
  readonly lead?: number;
  /** The bytes are the taker's (or lent, see {@link ValueOptions}). */
  take(bytes: Uint8Array): T | Promise<T>;
}

/**
 * Pieces that follow each other are read by one call until they make up so many bytes. The call is one job of one
 * thread: several small ones at a time spend more on waiting for each other, for the system hands out fresh memory to
 * one thread at a time, than on reading.
 */
const BATCH_BYTES = 8 * 2 ** 20;
/** Buffers of one call; the systems' own limits begin at 1024. */
const BATCH_PIECES = 256;
/** Larger than any tensor of a usual network, and the most that the C library of Linux (glibc) takes the hint for. */
const HINT_BYTES = 32 * 2 ** 20 - 2 ** 16;
/** Batches that are read while what came before them is looked at. */
const AHEAD = 2;

/** What is made of each piece, in the order in which they lie in the file. */
export async function* readPieces<T>(
  source: ByteSource,
  pieces: Iterable<Piece<T>>,
  { lent = false }: ValueOptions,
): AsyncGenerator<T, void> {
  const ordered = [...pieces].sort((a, b) => a.offset - b.offset);
  if (lent) yield* readInTurn(source, ordered);
  else yield* readAhead(source, ordered);
}

/** One buffer for all pieces, one after the other. */
async function* readInTurn<T>(source: ByteSource, ordered: readonly Piece<T>[]): AsyncGenerator<T, void> {
  let largest = 0;
  for (const piece of ordered) largest = Math.max(largest, sizeOf(source, piece));
  const buffer = unfilled(largest);
  for (const piece of ordered) {
    const { offset, length, lead = 0 } = piece;
    const bytes = buffer.subarray(lead, lead + length);
    await source.readInto([bytes], offset);
    yield await piece.take(bytes);
  }
}

/** Memory of its own for each piece; the next batches are read while a piece is looked at. */
async function* readAhead<T>(source: ByteSource, ordered: readonly Piece<T>[]): AsyncGenerator<T, void> {
  const batches = batchesOf(ordered);
  keepLargeBlocks();
  const begun: Promise<Uint8Array[]>[] = [];
  let next = 0;
  const begin = (): void => {
    const batch = batches[next++];
    if (batch === undefined) return;
    const reading = readBatch(source, batch);
    void reading.catch(() => {}); // thrown when its turn comes, if it comes
    begun.push(reading);
  };
  try {
    for (let n = 0; n < AHEAD; n++) begin();
    for (const batch of batches) {
      const contents = await begun[0];
      void begun.shift();
      begin();
      for (const [n, piece] of batch.entries()) yield await piece.take(contents[n]);
    }
  } finally {
    await Promise.allSettled(begun); // the file must not be closed under a reading
  }
}

let asked = false;

/**
 * Asks for the freed memory of one reading to serve the next. glibc gives a large block back to the system at once, which
 * then hands it out again page by page, more slowly than a file is read; but once it has seen one of a size come and go,
 * it keeps smaller ones. This one is never touched, so it takes no memory. Elsewhere nothing comes of it.
 */
function keepLargeBlocks(): void {
  if (asked) return;
  asked = true;
  // Node 20 cannot give memory back at once.
  const block: ArrayBufferLike & { transfer?: unknown } = unfilled(HINT_BYTES).buffer;
  if (typeof block.transfer === 'function') block.transfer(0);
}

function batchesOf<T>(ordered: readonly Piece<T>[]): Piece<T>[][] {
  const batches: Piece<T>[][] = [];
  let bytes = 0;
  let end = -1;
  for (const piece of ordered) {
    const last = batches.at(-1);
    if (last && piece.offset === end && bytes < BATCH_BYTES && last.length < BATCH_PIECES) last.push(piece);
    else {
      batches.push([piece]);
      bytes = 0;
    }
    bytes += piece.length;
    end = piece.offset + piece.length;
  }
  return batches;
}

async function readBatch<T>(source: ByteSource, batch: readonly Piece<T>[]): Promise<Uint8Array[]> {
  const contents = batch.map((piece) => unfilled(sizeOf(source, piece)).subarray(piece.lead ?? 0));
  await source.readInto(contents, batch[0].offset);
  return contents;
}

/** Bytes of memory. Checked before any is taken: a lying length must not become an allocation. */
function sizeOf<T>(source: ByteSource, { offset, length, lead = 0 }: Piece<T>): number {
  checkRange(source, offset, length);
  return lead + length;
}
