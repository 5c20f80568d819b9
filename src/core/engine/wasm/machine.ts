import { ConvPlan } from './conv-plan';
import { Heap } from './heap';
import { panelWidth } from './instance';
import { Pool } from './pool';

/** 4 GiB, the most that 32-bit WebAssembly can address. */
const ADDRESS_SPACE_PAGES = 65_536;
const FIRST_PAGES = 256;

/** A kernel module at work: its memory and its threads. */
export class Machine {
  private constructor(
    readonly heap: Heap,
    readonly pool: Pool,
    /** Output channels per panel of packed weights. */
    readonly panel: number,
    /** Chooses the convolutions' algorithms. */
    readonly plan: ConvPlan,
  ) {}

  /** @param maximumPages of 64 KiB: memory's upper bound (for tests and trials; address space is reserved for it) */
  static async open(
    module: WebAssembly.Module,
    threads: number,
    maximumPages = ADDRESS_SPACE_PAGES,
    plan = new ConvPlan(),
  ): Promise<Machine> {
    const memory = new WebAssembly.Memory({
      initial: Math.min(FIRST_PAGES, maximumPages),
      maximum: maximumPages,
      shared: true,
    });
    const pool = await Pool.open(memory, module, threads);
    return new Machine(new Heap(memory, maximumPages), pool, panelWidth(module, memory), plan);
  }

  get threads(): number {
    return this.pool.threads;
  }

  close(): Promise<void> {
    return this.pool.close();
  }
}
