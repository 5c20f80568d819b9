import * as v from 'valibot';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RpcEndpoint, type Handlers } from '../../../src/protocol/rpc';

const SERVED = {
  double: { params: v.object({ n: v.number() }), result: v.object({ n: v.number() }) },
  fail: { params: v.object({}), result: v.object({}) },
} as const;
const NONE = {} as const;

/** A caller and a server that are joined as by postMessage: messages arrive later, as copies. */
function joined(handlers: Handlers<typeof SERVED>, onOdd?: (sentence: string) => void) {
  const copied = (message: unknown, to: (message: unknown) => void) => {
    const copy = structuredClone(message);
    queueMicrotask(() => to(copy));
  };
  const caller: RpcEndpoint<typeof NONE, typeof SERVED> = new RpcEndpoint(
    (message) => copied(message, (one) => server.receive(one)),
    NONE,
    SERVED,
    {},
    { peer: 'The server', onOdd },
  );
  const server: RpcEndpoint<typeof SERVED, typeof NONE> = new RpcEndpoint(
    (message) => copied(message, (one) => caller.receive(one)),
    SERVED,
    NONE,
    handlers,
    { peer: 'The caller' },
  );
  return { caller, server };
}

const working: Handlers<typeof SERVED> = {
  double: ({ n }) => ({ n: 2 * n }),
  fail: () => {
    throw new Error('The disk is full. Make room.');
  },
};

describe('a request', () => {
  it('is answered with the result of its handler, each with its own', async () => {
    const { caller } = joined(working);
    const answers = await Promise.all([1, 2, 3].map((n) => caller.call('double', { n })));
    expect(answers).toEqual([{ n: 2 }, { n: 4 }, { n: 6 }]);
  });

  it('rejects with the sentence of a handler that throws, at once or later', async () => {
    const late = { ...working, double: () => Promise.reject(new Error('Later it was gone.')) };
    await expect(joined(working).caller.call('fail', {})).rejects.toThrow('The disk is full. Make room.');
    await expect(joined(late).caller.call('double', { n: 1 })).rejects.toThrow('Later it was gone.');
  });

  it('is refused where its parameters are not what was agreed', async () => {
    const { caller } = joined(working);
    await expect(caller.call('double', { n: 'two' } as never)).rejects.toThrow(/"double".*field n/);
  });

  it('rejects where the answer is not what was agreed', async () => {
    const { caller } = joined({ ...working, double: () => ({ n: 'many' }) as never });
    await expect(caller.call('double', { n: 1 })).rejects.toThrow(
      /The server answered "double" with something else.*field n/,
    );
  });

  it('is answered where the method does not exist, also under the name of what every object has', async () => {
    const { caller } = joined(working);
    for (const method of ['triple', 'toString', 'constructor'])
      await expect(caller.call(method as 'double', { n: 1 })).rejects.toThrow(
        `There is no method "${method}".`,
      );
  });

  it('is answered where its result cannot be sent', async () => {
    const { caller } = joined({ ...working, double: () => ({ n: 1, sent: () => {} }) as never });
    await expect(caller.call('double', { n: 1 })).rejects.toThrow(/could not be cloned/);
  });

  it('rejects where it cannot be sent itself', async () => {
    const caller = new RpcEndpoint(
      () => Promise.reject(new Error('no page')),
      NONE,
      SERVED,
      {},
      { peer: 'The page' },
    );
    await expect(caller.call('double', { n: 1 })).rejects.toThrow(
      '"double" could not be sent to The page: no page',
    );
  });
});

describe('waiting', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const silent = () => new RpcEndpoint(() => {}, NONE, SERVED, {}, { peer: 'The page', timeoutMs: 500 });

  it('ends after the time-out', async () => {
    const answer = expect(silent().call('double', { n: 1 })).rejects.toThrow(
      'The page did not answer "double" within 500 ms.',
    );
    await vi.advanceTimersByTimeAsync(501);
    await answer;
  });

  it('may be without end where the caller says so', async () => {
    const caller = silent();
    let ended = false;
    const answer = caller.call('double', { n: 1 }, null).catch(() => (ended = true));
    await vi.advanceTimersByTimeAsync(1e7);
    expect(ended).toBe(false);
    caller.dispose();
    await answer;
    expect(ended).toBe(true);
  });

  it('ends with the endpoint, and nothing is asked any more', async () => {
    const caller = silent();
    const answer = expect(caller.call('double', { n: 1 })).rejects.toThrow(
      '"double" was not answered: The page is closed.',
    );
    caller.dispose();
    await answer;
    await expect(caller.call('double', { n: 1 })).rejects.toThrow('The page is closed.');
  });
});

describe('what is no message', () => {
  it('is told and changes nothing', async () => {
    const odd: string[] = [];
    const { caller } = joined(working, (sentence) => odd.push(sentence));
    caller.receive({ kind: 'answer', id: 99, outcome: { ok: true, result: {} } });
    for (const message of [undefined, 'hello', { kind: 'order' }, { kind: 'answer', id: 'one' }])
      caller.receive(message);
    expect(odd).toHaveLength(5);
    expect(odd[0]).toMatch(/request 99, which nobody waits for/);
    expect(await caller.call('double', { n: 4 })).toEqual({ n: 8 });
  });
});
