import { open } from 'node:fs/promises';
import * as v from 'valibot';
import { eventSchema, type RunEvent } from '../../protocol/run';

/** Read at once: what a run writes in hours comes in pieces, so that the editor stays free in between. */
const PIECE_BYTES = 256 * 1024;

/**
 * Follows an events.jsonl: every read gives the events of the bytes that were appended since. Only whole lines count, so
 * a line that is being written, or that a crash tore and its successor cuts off, is simply not there yet.
 */
export class EventTail {
  /** Behind the last whole line that was read. */
  private offset = 0;
  private unreadableLines = 0;

  constructor(private readonly path: string) {}

  /** Whole lines that were no events this version knows. */
  get unreadable(): number {
    return this.unreadableLines;
  }

  /**
   * @returns the new events, and whether the file began anew (it was replaced by a shorter one): then they are all there
   * are. Nothing where the file does not exist yet.
   */
  async read(): Promise<{ readonly events: RunEvent[]; readonly restarted: boolean }> {
    const file = await open(this.path, 'r').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (!file) return { events: [], restarted: false };
    try {
      const { size } = await file.stat();
      const restarted = size < this.offset;
      if (restarted) {
        this.offset = 0;
        this.unreadableLines = 0;
      }
      const events: RunEvent[] = [];
      let length = PIECE_BYTES;
      while (this.offset < size) {
        const piece = Buffer.alloc(Math.min(length, size - this.offset));
        const { bytesRead } = await file.read(piece, 0, piece.length, this.offset);
        const end = piece.subarray(0, bytesRead).lastIndexOf(10);
        if (end >= 0) {
          for (const line of piece.toString('utf8', 0, end).split('\n')) this.take(line, events);
          this.offset += end + 1;
          length = PIECE_BYTES;
        } else if (this.offset + bytesRead < size) length *= 2;
        else break; // the last line is torn
      }
      return { events, restarted };
    } finally {
      await file.close();
    }
  }

  private take(line: string, events: RunEvent[]): void {
    if (line.trim() === '') return;
    try {
      events.push(v.parse(eventSchema, JSON.parse(line)));
    } catch {
      this.unreadableLines++;
    }
  }
}
