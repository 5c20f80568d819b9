import { stat } from 'node:fs/promises';
import { prepareScan, type PreparedScan } from '../core/cohort/prepared-case';
import { closeEngine, openEngine } from '../core/engine/choose';
import type { EngineOptions, EngineReport } from '../core/engine/engine';
import { openModel, type OpenedModel } from '../core/inference/open-model';
import { checkpointPath } from '../core/model/checkpoint';
import type { NetworkSpec } from '../core/model/spec';
import type { Recipe } from '../core/volume/recipe';
import type { Job } from './job';

/** Something kept, and what it was made of. */
interface Kept<T> {
  readonly key: string;
  readonly value: T;
}

/**
 * What stays in memory between requests: the engine, the last network and the last prepared scan. A click on the next
 * layer of the same case then neither opens nor reads anything again. A file that has changed on disk is read anew.
 */
export class Resident {
  private engine?: Promise<EngineReport>;
  private keptModel?: Kept<OpenedModel>;
  private keptScan?: Kept<PreparedScan>;
  private tail: Promise<unknown> = Promise.resolve();

  /**
   * @param onEngine is told which engine was opened
   */
  constructor(
    private readonly options: EngineOptions,
    private readonly onEngine: (report: EngineReport) => void,
  ) {}

  /** The engine, which is opened at the first call. */
  async openEngine(): Promise<EngineReport> {
    this.engine ??= openEngine(this.options).then((report) => {
      this.onEngine(report);
      return report;
    });
    try {
      return await this.engine;
    } catch (error) {
      this.engine = undefined;
      throw error;
    }
  }

  /** Does work that computes when all such work asked for before is done: there is one engine, and one memory. */
  async alone<T>(job: Job, work: () => Promise<T>): Promise<T> {
    const before = this.tail;
    const mine = (async () => {
      await before;
      job.requireWanted();
      return work();
    })();
    this.tail = mine.catch(() => {});
    return mine;
  }

  /** The network of a checkpoint file or run directory; it stays this object's. To be called within {@link alone}. */
  async model(path: string, given: Partial<NetworkSpec>, job: Job): Promise<OpenedModel> {
    const file = await checkpointPath(path);
    const key = JSON.stringify([file, await stampOf(file), given]);
    if (this.keptModel?.key === key) return this.keptModel.value;
    job.say('Starting the engine');
    await this.openEngine();
    await job.breathe();
    job.say('Reading the network');
    const value = await openModel(path, given);
    this.keptModel?.value.network.dispose();
    this.keptModel = { key, value };
    return value;
  }

  /** The scan as the network sees it. To be called within {@link alone}. */
  async scan(
    images: readonly string[],
    brain: string | undefined,
    recipe: Recipe,
    job: Job,
  ): Promise<PreparedScan> {
    const files = [...images, ...(brain === undefined ? [] : [brain])];
    const stamps = await Promise.all(files.map(stampOf));
    const key = JSON.stringify([images, brain, recipe, stamps]);
    if (this.keptScan?.key === key) return this.keptScan.value;
    // Two prepared scans at once could be too much for a small machine.
    this.keptScan = undefined;
    job.say('Reading the scan');
    const value = await prepareScan(images, brain, recipe);
    this.keptScan = { key, value };
    return value;
  }

  async close(): Promise<void> {
    this.keptModel?.value.network.dispose();
    this.keptModel = undefined;
    this.keptScan = undefined;
    this.engine = undefined;
    await closeEngine();
  }
}

/** Changes whenever the file does. What is wrong with a file is said by the one who reads it. */
async function stampOf(path: string): Promise<readonly number[] | null> {
  const info = await stat(path).catch(() => undefined);
  return info ? [info.mtimeMs, info.size, info.ino] : null;
}
