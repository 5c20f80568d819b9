import type { RunRecord } from '../protocol/run';
import { closeEngine, openEngine } from '../core/engine/choose';
import { ENGINES, type EngineName, type EngineOptions, type EngineReport } from '../core/engine/engine';
import { InputError } from '../core/errors';
import { precisionOf } from '../core/experiment/engine-of-run';
import { tell } from './terminal';

/** `wasm simd256, 2 threads`; `webgpu, f16`. */
export function engineName({ name, module, threads, precision }: EngineReport): string {
  return name === 'webgpu'
    ? `${name}, ${precision}`
    : `${[name, module].filter(Boolean).join(' ')}, ${threadsText(threads)}`;
}

function threadsText(threads: number): string {
  return `${threads} ${threads === 1 ? 'thread' : 'threads'}`;
}

/** Does work with the engine that the flags name, and closes it whatever happens. */
export async function withEngine<T>(
  flags: EngineOptions,
  work: (engine: EngineReport) => Promise<T>,
): Promise<T> {
  try {
    const engine = await openEngine({
      onFallback: tellFallback,
      onPlanReplaced: replacementTeller(),
      ...flags,
    });
    tellUnusedLimit(engine, flags);
    return await work(engine);
  } finally {
    await closeEngine();
  }
}

/** Says it where a limit of a GPU's memory was given and no GPU computes: it may be a setting that stands for all machines. */
export function tellUnusedLimit({ name }: EngineReport, { gpuMemory }: EngineOptions): void {
  if (gpuMemory !== undefined && name !== 'webgpu')
    tell(
      `--gpu-memory (fcd.gpuMemory in the editor's settings) has no effect here: it limits what the engine webgpu takes of a GPU, and the engine ${name} computes.`,
    );
}

const isEngine = (name: string): name is EngineName => (ENGINES as readonly string[]).includes(name);

function tellFallback(kernel: string): void {
  tell(
    `${kernel} is slow: this engine has no kernel of its own for it, so it runs in JavaScript, or of several kernels of TensorFlow.js.`,
  );
}

/** Tells of the first choice that is not replayed: others follow for the same reason. */
function replacementTeller(): EngineOptions['onPlanReplaced'] {
  let told = false;
  return (conv, recorded, instead) => {
    if (!told)
      tell(
        `Here the GPU does not compute as the run recorded it (${conv}: "${recorded}" was recorded, "${instead}" is used), because it cannot or because less of its memory may be taken: the same network to within rounding, not to the bit.`,
      );
    told = true;
  };
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
    tell(`Engine ${engineName(engine)}: ${engine.reason}`);
    return work(engine);
  });
}

/**
 * As {@link withEngine}, for a run that has begun: its engine, kernel module and thread count, not what is fastest now,
 * so that it goes on bit for bit. Another number of threads is possible and said; it changes no bit. Another engine is
 * possible where it is asked for by name (the run says so): a GPU may be lost.
 */
export async function withEngineOf<T>(
  record: RunRecord,
  flags: Pick<EngineOptions, 'threads' | 'engine' | 'tensorflow' | 'precision' | 'gpuMemory'>,
  work: (engine: EngineReport) => Promise<T>,
): Promise<T> {
  const { name, module, threads, plan } = record.engine;
  const { engine: asked = 'auto' } = flags;
  if (asked !== 'auto' && asked !== name) return withNamedEngine(flags, work);
  if (!isEngine(name))
    throw new InputError(`The run was computed by the engine ${name}, which this version does not have.`);
  const precision = precisionOf(record.engine);
  if (flags.precision !== undefined && flags.precision !== precision)
    throw new InputError(
      `What is there was begun in ${precision} and goes on in it: leave out --precision ${flags.precision}, or give another --out.`,
    );
  const asRecorded = name === 'wasm' || name === 'webgpu' ? { plan: plan ?? {} } : {};
  const { tensorflow, gpuMemory } = flags;
  const options = {
    engine: name,
    module,
    threads: flags.threads ?? threads,
    precision,
    gpuMemory,
    tensorflow,
    ...asRecorded,
  };
  return withEngine(options, (engine) => {
    if (engine.threads !== threads)
      tell(
        name === 'tensorflow'
          ? `The run began with ${threadsText(threads)} and goes on with ${engine.threads}: TensorFlow may round otherwise then.`
          : `The run began with ${threadsText(threads)} and goes on with ${engine.threads}: the same numbers to the bit, at another pace.`,
      );
    return work(engine);
  });
}
