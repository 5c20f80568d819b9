import type { CancellationToken, Event } from 'vscode';
import type {
  ComputeMethod,
  ComputeParams,
  ComputeResult,
  EngineReportMessage,
  Progress,
} from '../../protocol/compute';

/** What the compute process is doing, for the status bar. */
export type Activity =
  /** No process: none was needed yet, or it was put to rest. */
  | { readonly kind: 'stopped' }
  | { readonly kind: 'idle' }
  | {
      readonly kind: 'busy';
      /** `explaining sub-00002`: the request that began first. */
      readonly what: string;
      readonly progress: Progress | undefined;
      /** Requests that are not answered yet. */
      readonly requests: number;
    }
  /** It ended by itself; the sentence says how. The next request starts another. */
  | { readonly kind: 'crashed'; readonly sentence: string };

export interface RequestOptions {
  readonly token?: CancellationToken;
  readonly onProgress?: (progress: Progress) => void;
  /** After this time the request is given up with a sentence; each method has its own default. */
  readonly timeoutMs?: number;
}

/**
 * The compute process as the features of the extension see it. `ComputeClient` (client.ts) is the one implementation.
 */
export interface Compute {
  readonly activity: Activity;
  readonly onActivity: Event<Activity>;
  /** Engine of the process, once it has computed something. */
  readonly engine: EngineReportMessage | undefined;
  readonly onEngine: Event<EngineReportMessage>;

  /**
   * Asks the process, which is started at the first request.
   * @throws CancellationError (vscode's) where the token was cancelled
   * @throws ComputeError with a sentence that can be shown as it is, for everything else
   */
  request<M extends ComputeMethod>(
    method: M,
    params: ComputeParams<M>,
    options?: RequestOptions,
  ): Promise<ComputeResult<M>>;

  /**
   * True while a training run has the machine: the process then takes one thread at low priority. A change takes effect
   * as soon as nothing is being computed.
   */
  setBackground(background: boolean): void;
}

/** Why a request was not answered. The message is a sentence for people. */
export class ComputeError extends Error {
  override readonly name = 'ComputeError';

  constructor(
    /**
     * `input`: a person can mend it. `unexpected`: a fault of ours, the log has the stack. `ended`: the process ended.
     * `timeout`, `cancelled`. `refused`: no process may be started (untrusted workspace, disposed, no Node.js).
     */
    readonly kind: 'input' | 'unexpected' | 'ended' | 'timeout' | 'cancelled' | 'refused',
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
