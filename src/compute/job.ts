import type { CancellationToken } from 'vscode-jsonrpc/node';
import { paced, type Steps } from '../core/model/steps';
import type { Progress } from '../protocol/compute';

/** The person no longer wants what this request would give. */
export class CancelledError extends Error {
  override readonly name = 'CancelledError';
}

/** Progress that says nothing new is sent this often at most. */
const MILLISECONDS_BETWEEN_REPORTS = 100;

/** One request: what it may be told, what it tells. */
export class Job {
  private last = { detail: '', at: -Infinity };

  constructor(
    private readonly token: CancellationToken,
    private readonly report: (progress: Progress) => void,
  ) {}

  /** @param fraction of the whole request, 0 to 1; null while it is not known */
  say(detail: string, fraction: number | null = null): void {
    const now = performance.now();
    if (detail === this.last.detail && now - this.last.at < MILLISECONDS_BETWEEN_REPORTS) return;
    this.last = { detail, at: now };
    this.report({ detail, fraction });
  }

  /** @throws CancelledError */
  requireWanted(): void {
    if (this.token.isCancellationRequested) throw new CancelledError('cancelled');
  }

  /**
   * Lets messages in, and stops the request where one of them cancels it. A message takes two turns of the event loop:
   * one to arrive, one to be read from vscode-jsonrpc's queue.
   * @throws CancelledError
   */
  async breathe(): Promise<void> {
    for (let turns = 0; turns < 2; turns++) await new Promise((resolve) => setImmediate(resolve));
    this.requireWanted();
  }

  /**
   * Drives the steps of a pass, breathing between them.
   * @param span which part of the request's progress they are @param forward which part of them runs forward
   */
  run<T>(steps: Steps<T>, [from, to]: readonly [number, number], forward = 1): Promise<T> {
    return paced(steps, async ({ layer, pass, done, total }) => {
      const part = done / total;
      const share = pass === 'forward' ? forward * part : forward + (1 - forward) * part;
      const stage = layer.split('.')[0];
      this.say(
        pass === 'forward' ? `Running ${stage}` : `Going back through ${stage}`,
        from + (to - from) * share,
      );
      await this.breathe();
    });
  }
}
