import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { messageOf } from '../../errors';
import { SPINS, STOP, WORD } from './control';
import { instantiate, kernelNames, type Kernel, type WorkerSetup } from './instance';
import { engineFolder } from './modules';
import type { Profile } from './profile';

/** Waiting threads look around this often... */
const SLICE_MS = 100;
/** ... and give up after so many looks at which nothing had moved: a minute. */
const PATIENCE = 600;

/**
 * The threads that compute: the caller and its workers, over one memory. {@link run} returns when all have finished.
 * A worker that throws or dies ends the run with an error and the pool with it; nothing here waits for ever.
 */
export class Pool {
  private readonly words: Int32Array;
  private readonly kernels: Readonly<Record<string, Kernel>>;
  private readonly indices: ReadonlyMap<string, number>;
  private readonly workers: Worker[] = [];
  private broken: string | undefined;
  private closed = false;
  /** Where to note how long kernels take; undefined: nowhere. */
  profile?: Profile;

  private constructor(
    private readonly memory: WebAssembly.Memory,
    private readonly module: WebAssembly.Module,
    readonly threads: number,
    private readonly patience: number,
  ) {
    this.words = new Int32Array(memory.buffer);
    this.kernels = instantiate(module, memory);
    this.indices = new Map(kernelNames(module).map((name, index) => [name, index]));
  }

  /** @param threads including the caller */
  static async open(
    memory: WebAssembly.Memory,
    module: WebAssembly.Module,
    threads: number,
    patience = PATIENCE,
  ): Promise<Pool> {
    const pool = new Pool(memory, module, threads, patience);
    try {
      await Promise.all(Array.from({ length: threads - 1 }, (_, i) => pool.start(i + 1)));
    } catch (error) {
      await pool.close();
      throw error;
    }
    return pool;
  }

  /**
   * Runs one kernel on all threads.
   * @param job its fields in order, without the leading counter; floats as {@link floatField}
   * @param alone whether the work is too small to wake the others
   */
  run(name: string, job: readonly number[], alone = false): void {
    if (this.profile) this.profile.kernel(name, () => this.compute(name, job, alone));
    else this.compute(name, job, alone);
  }

  private compute(name: string, job: readonly number[], alone: boolean): void {
    if (this.broken) throw new Error(this.broken);
    if (this.closed) throw new Error('The engine was closed; open it again before computing.');
    const index = this.indices.get(name);
    if (index === undefined) throw new Error(`The kernel module has no kernel "${name}".`);
    const { words } = this;
    words[WORD.job] = WORD.counter * 4;
    words.set(job, WORD.job + 1);
    Atomics.store(words, WORD.counter, 0);
    const kernel = this.kernels[name];
    if (alone || this.workers.length === 0) {
      this.attempt(name, () => kernel(0, 1, WORD.job * 4));
      return;
    }
    Atomics.store(words, WORD.done, 0);
    Atomics.store(words, WORD.failed, 0);
    Atomics.store(words, WORD.kernel, index);
    this.announce();
    this.attempt(name, () => kernel(0, this.threads, WORD.job * 4));
    this.join(name);
    if (Atomics.load(words, WORD.failed) !== 0)
      this.breakDown(`Kernel "${name}" failed in a compute thread: ${this.message()}.`);
  }

  /** Stops the workers. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    Atomics.store(this.words, WORD.kernel, STOP);
    this.announce();
    await Promise.all(this.workers.map((worker) => worker.terminate()));
  }

  /** Workers are started one by one and say when they are ready; afterwards they do not keep the process alive. */
  private start(thread: number): Promise<void> {
    const setup: WorkerSetup = { memory: this.memory, module: this.module, thread, threads: this.threads };
    const worker = new Worker(join(engineFolder(), 'worker.js'), { workerData: setup, execArgv: [] });
    this.workers.push(worker);
    return new Promise((resolve, reject) => {
      const lost = (reason: string) => {
        if (this.closed) return;
        this.broken ??= `A compute thread ended: ${reason}. Start the program again; with --threads 1 it needs none.`;
        reject(new Error(this.broken));
      };
      worker.once('message', () => {
        worker.unref();
        resolve();
      });
      worker.once('error', (error) => lost(messageOf(error)));
      worker.once('exit', (code) => lost(`exit code ${code}`));
    });
  }

  private announce(): void {
    Atomics.add(this.words, WORD.generation, 1);
    Atomics.notify(this.words, WORD.generation);
  }

  /** Waits for the workers: spins, then sleeps in slices; slices in which nothing moves are counted, not seconds. */
  private join(name: string): void {
    const { words } = this;
    const all = this.workers.length;
    for (let spins = 0; spins < SPINS; spins++) if (Atomics.load(words, WORD.done) === all) return;
    let still = 0;
    let before = -1;
    for (;;) {
      const done = Atomics.load(words, WORD.done);
      if (done === all) return;
      const moved = Atomics.load(words, WORD.counter) + done;
      still = moved === before ? still + 1 : 0;
      before = moved;
      if (still > this.patience)
        this.breakDown(
          `A compute thread does not answer in kernel "${name}": ${done} of ${all} workers finished.`,
        );
      Atomics.wait(words, WORD.done, done, SLICE_MS);
    }
  }

  private attempt(name: string, compute: () => void): void {
    try {
      compute();
    } catch (error) {
      this.breakDown(`Kernel "${name}" failed: ${messageOf(error)}.`);
    }
  }

  private breakDown(sentence: string): never {
    this.broken = `${sentence} The engine cannot go on; start the program again.`;
    throw new Error(this.broken);
  }

  private message(): string {
    const length = Atomics.load(this.words, WORD.message);
    const bytes = new Uint8Array(this.memory.buffer, (WORD.message + 1) * 4, length);
    return new TextDecoder().decode(bytes.slice());
  }
}

const float = new Float32Array(1);
const bits = new Int32Array(float.buffer);

/** A float32 as the word that a job's field holds. */
export function floatField(value: number): number {
  float[0] = value;
  return bits[0];
}

const double = new Float64Array(1);
const halves = new Int32Array(double.buffer);

/** A float64 as two words of a job, the low one first. */
export function doubleField(value: number): [low: number, high: number] {
  double[0] = value;
  return [halves[0], halves[1]];
}
