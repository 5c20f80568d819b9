import * as v from 'valibot';

/**
 * Requests and answers across a message border, the same class at both ends. Every request is answered: by a result, by
 * `{ ok: false, error }` when the handler throws or what was sent is not what was agreed, by a time-out, or by disposal.
 */

type Schema = v.GenericSchema;

/** Method -> what is sent and what comes back. */
export type Contract = Readonly<Record<string, { readonly params: Schema; readonly result: Schema }>>;

export type ParamsOf<C extends Contract, M extends keyof C> = v.InferOutput<C[M]['params']>;
export type ResultOf<C extends Contract, M extends keyof C> = v.InferOutput<C[M]['result']>;

/** One function per method that this end serves. */
export type Handlers<C extends Contract> = {
  readonly [M in keyof C]: (params: ParamsOf<C, M>) => ResultOf<C, M> | Promise<ResultOf<C, M>>;
};

/** The way out; the way in is {@link RpcEndpoint.receive}. */
export type Post = (message: unknown) => void | PromiseLike<unknown>;

const messageSchema = v.variant('kind', [
  v.object({
    kind: v.literal('request'),
    id: v.number(),
    method: v.string(),
    params: v.unknown(),
  }),
  v.object({
    kind: v.literal('answer'),
    id: v.number(),
    outcome: v.variant('ok', [
      v.object({ ok: v.literal(true), result: v.unknown() }),
      v.object({ ok: v.literal(false), error: v.string() }),
    ]),
  }),
]);
type Message = v.InferOutput<typeof messageSchema>;

interface Waiting {
  readonly method: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: ReturnType<typeof setTimeout> | undefined;
}

export interface RpcOptions {
  /** How the other end is called in error sentences. */
  readonly peer: string;
  /** How long an answer may take, ms; null: as long as it wants. Default 10 000. */
  readonly timeoutMs?: number | null;
  /** Hears of what is not worth an answer: a message that is none, an answer to nobody. */
  readonly onOdd?: (sentence: string) => void;
}

const DEFAULT_TIMEOUT_MS = 10_000;

/** One end: serves `Serves`, asks for `Calls`. */
export class RpcEndpoint<Serves extends Contract, Calls extends Contract> {
  private readonly waiting = new Map<number, Waiting>();
  private nextId = 1;
  private disposed = false;

  constructor(
    private readonly post: Post,
    private readonly serves: Serves,
    private readonly calls: Calls,
    private readonly handlers: Handlers<Serves>,
    private readonly options: RpcOptions,
  ) {}

  /** Asks the other end; rejects with its sentence, after the time-out, or when either end goes away. */
  call<M extends keyof Calls & string>(
    method: M,
    params: ParamsOf<Calls, M>,
    timeoutMs: number | null = this.options.timeoutMs === undefined
      ? DEFAULT_TIMEOUT_MS
      : this.options.timeoutMs,
  ): Promise<ResultOf<Calls, M>> {
    if (this.disposed) return Promise.reject(this.gone(method));
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      const timer =
        timeoutMs === null
          ? undefined
          : setTimeout(() => {
              this.waiting.delete(id);
              reject(new Error(`${this.options.peer} did not answer "${method}" within ${timeoutMs} ms.`));
            }, timeoutMs);
      this.waiting.set(id, { method, resolve: resolve as (value: unknown) => void, reject, timer });
      this.send({ kind: 'request', id, method, params }, (error) =>
        this.take(id)?.reject(
          new Error(`"${method}" could not be sent to ${this.options.peer}: ${sentence(error)}`),
        ),
      );
    });
  }

  /** Takes a message from the other end. */
  receive(data: unknown): void {
    if (this.disposed) return;
    const message = v.safeParse(messageSchema, data);
    if (!message.success) {
      this.odd(`${this.options.peer} sent what is no message: ${describe(message.issues[0])}.`);
      return;
    }
    if (message.output.kind === 'request') void this.serve(message.output);
    else this.settle(message.output);
  }

  /** Ends everything that is under way: whoever waits here hears that nothing will come. */
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    for (const [id, { method }] of [...this.waiting]) this.take(id)?.reject(this.gone(method));
  }

  private async serve({ id, method, params }: Extract<Message, { kind: 'request' }>): Promise<void> {
    let outcome: Extract<Message, { kind: 'answer' }>['outcome'];
    try {
      if (!Object.hasOwn(this.serves, method)) throw new Error(`There is no method "${method}".`);
      const checked = v.safeParse(this.serves[method].params, params);
      if (!checked.success)
        throw new Error(
          `"${method}" was asked with something else than agreed: ${describe(checked.issues[0])}.`,
        );
      outcome = { ok: true, result: await this.handlers[method](checked.output) };
    } catch (error) {
      outcome = { ok: false, error: sentence(error) };
    }
    if (this.disposed) return;
    this.send({ kind: 'answer', id, outcome }, (error) => {
      // A result that cannot be sent (a function in it) is still an answer.
      if (outcome.ok)
        this.send({ kind: 'answer', id, outcome: { ok: false, error: sentence(error) } }, () => {});
    });
  }

  private settle({ id, outcome }: Extract<Message, { kind: 'answer' }>): void {
    const waiting = this.take(id);
    if (!waiting) {
      this.odd(`${this.options.peer} answered request ${id}, which nobody waits for.`);
      return;
    }
    if (!outcome.ok) {
      waiting.reject(new Error(outcome.error));
      return;
    }
    const checked = v.safeParse(this.calls[waiting.method].result, outcome.result);
    if (checked.success) waiting.resolve(checked.output);
    else
      waiting.reject(
        new Error(
          `${this.options.peer} answered "${waiting.method}" with something else than agreed: ${describe(checked.issues[0])}.`,
        ),
      );
  }

  private take(id: number): Waiting | undefined {
    const waiting = this.waiting.get(id);
    if (!waiting) return undefined;
    this.waiting.delete(id);
    clearTimeout(waiting.timer);
    return waiting;
  }

  private send(message: Message, failed: (error: unknown) => void): void {
    try {
      Promise.resolve(this.post(message)).catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  private odd(text: string): void {
    this.options.onOdd?.(text);
  }

  private gone(method: string): Error {
    return new Error(`"${method}" was not answered: ${this.options.peer} is closed.`);
  }
}

function describe(issue: v.BaseIssue<unknown>): string {
  const field = v.getDotPath(issue);
  return field ? `field ${field}: ${issue.message}` : issue.message;
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
