import type { RunRecord } from '../protocol/run';
import { closeEngine, openEngine } from '../core/engine/choose';
import type { EngineOptions, EngineReport } from '../core/engine/engine';
import { InputError } from '../core/errors';
import { tell } from './terminal';

/** Does work with the engine that the flags name, and closes it whatever happens. */
export async function withEngine<T>(
  flags: EngineOptions,
  work: (engine: EngineReport) => Promise<T>,
): Promise<T> {
  try {
    return await work(await openEngine({ onFallback: tellFallback, ...flags }));
  } finally {
    await closeEngine();
  }
}

function tellFallback(kernel: string): void {
  tell(`${kernel} runs in JavaScript on one thread: this engine has no kernel of its own for it.`);
}

/**
 * As {@link withEngine} and says which one it is: for work that is recorded, and long enough that timing the algorithms
 * of its convolutions pays.
 */
export async function withNamedEngine<T>(
  flags: EngineOptions,
  work: (engine: EngineReport) => Promise<T>,
): Promise<T> {
  return withEngine({ tune: true, ...flags }, (engine) => {
    tell(`Engine ${engine.name} ${engine.module ?? ''}, ${engine.threads} threads: ${engine.reason}`);
    return work(engine);
  });
}

/**
 * As {@link withEngine}, for a run that has begun: its kernel module and thread count, not what is fastest now, so that
 * it goes on bit for bit. Another number of threads is possible and said; it changes no bit.
 */
export async function withEngineOf<T>(
  record: RunRecord,
  flags: Pick<EngineOptions, 'threads'>,
  work: (engine: EngineReport) => Promise<T>,
): Promise<T> {
  const { name, module, threads, plan } = record.engine;
  if (name !== 'wasm' && name !== 'cpu')
    throw new InputError(`The run was computed by the engine ${name}, which this version does not have.`);
  const asRecorded = name === 'wasm' ? { plan: plan ?? {} } : {};
  return withEngine({ engine: name, module, threads: flags.threads ?? threads, ...asRecorded }, (engine) => {
    if (engine.threads !== threads)
      tell(
        `The run began with ${threads} threads and goes on with ${engine.threads}: the same numbers to the bit, at another pace.`,
      );
    return work(engine);
  });
}
