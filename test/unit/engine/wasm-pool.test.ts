import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { convolve } from '../../../src/core/engine/wasm/convolution';
import { Machine } from '../../../src/core/engine/wasm/machine';
import { MODULES, compileModule } from '../../../src/core/engine/wasm/modules';
import { Pool } from '../../../src/core/engine/wasm/pool';
import { convSizes } from '../../../src/core/engine/wasm/reference';
import { geometryOf } from '../../../src/core/engine/wasm/self-test';
import { ROOT } from '../../peers';

const strict = compileModule(MODULES[2]);
if (!('compiled' in strict)) throw new Error(strict.reason);
const { compiled } = strict;

const memory = () => new WebAssembly.Memory({ initial: 64, maximum: 64, shared: true });

/** Fields of a job of the kernel fillZero: far too many floats for the memory. */
const BEYOND_MEMORY = [1 << 20, 1 << 28];

describe('pool', () => {
  it('ends with a sentence when a kernel traps, and stays ended', async () => {
    const pool = await Pool.open(memory(), compiled, 2);
    expect(() => pool.run('fillZero', BEYOND_MEMORY)).toThrow(
      /^Kernel "fillZero" failed: .*out of bounds.*\. The engine cannot go on/,
    );
    expect(() => pool.run('fillZero', [1 << 20, 16])).toThrow(/cannot go on/);
    await pool.close();
  });

  it('ends with a sentence when a kernel traps in another thread only', async () => {
    const machine = await Machine.open(compiled, 2, 2048);
    const plain = { stride: [1, 1, 1], padding: [1, 1, 1], dilation: [1, 1, 1] } as const;
    const geometry = geometryOf(2, [16, 16, 16], [16, 16], [3, 3, 3], plain);
    const sizes = convSizes(geometry);
    const [x, filter, y] = [sizes.x, sizes.filter, sizes.y].map((n) => machine.heap.allocate(n * 4));
    // The distance of the threads' scratch areas: the caller's own stays where it is, the other's leaves the memory.
    const scratchBytes = 6;
    const sabotaged = Object.assign(Object.create(machine) as Machine, {
      pool: {
        threads: 2,
        run: (name: string, job: readonly number[], alone?: boolean) =>
          machine.pool.run(name, name === 'convolution' ? job.with(scratchBytes, 1 << 30) : job, alone),
      },
    });
    // On a busy machine the caller may have done all the work before the other thread woke: then nothing was wrong.
    const untilTheOtherTakesPart = () => {
      for (let attempt = 0; attempt < 1000; attempt++) convolve(sabotaged, geometry, x, filter, y, 'direct');
    };
    expect(untilTheOtherTakesPart).toThrow(
      /^Kernel "convolution" failed in a compute thread: .*out of bounds/,
    );
    await machine.close();
  });

  it('ends with a sentence, not a hang, when a thread is gone', async () => {
    const pool = await Pool.open(memory(), compiled, 2, 3);
    const { workers } = pool as unknown as {
      workers: { removeAllListeners(): void; terminate(): Promise<number> }[];
    };
    workers[0].removeAllListeners();
    await workers[0].terminate();
    expect(() => pool.run('fillZero', [1 << 20, 1 << 18])).toThrow(
      /^A compute thread does not answer in kernel "fillZero": 0 of 1 workers finished/,
    );
    await pool.close();
  });

  it('says so when a thread ended between two kernels', async () => {
    const pool = await Pool.open(memory(), compiled, 2);
    const { workers } = pool as unknown as { workers: { terminate(): Promise<number> }[] };
    await workers[0].terminate();
    expect(() => pool.run('fillZero', [1 << 20, 1 << 18])).toThrow(/^A compute thread ended: exit code/);
    await pool.close();
  });

  it('computes in memory that has grown since its threads started', async () => {
    const machine = await Machine.open(compiled, 3);
    const { heap, pool } = machine;
    const count = 6_000_000;
    const before = heap.bytesReserved;
    const [a, result] = [heap.allocate(count * 4), heap.allocate(count * 4)];
    expect(heap.bytesReserved).toBeGreaterThan(before);
    heap.float32(a, count).fill(1.5);
    pool.run('add', [a, a, result, count]);
    expect(heap.float32(result, count).every((v) => v === 3)).toBe(true);
    await machine.close();
  });

  it('refuses kernels that do not exist and work after closing', async () => {
    const pool = await Pool.open(memory(), compiled, 1);
    expect(() => pool.run('fourier', [])).toThrow(/no kernel "fourier"/);
    await pool.close();
    expect(() => pool.run('fillZero', [1 << 20, 16])).toThrow(/was closed/);
  });

  it('does not keep the process alive when the program has ended', () => {
    const program = `
      const { Machine, MODULES, compileModule, selfTest } = await import(${JSON.stringify(join(ROOT, 'dist/bench/machine.js'))});
      const machine = await Machine.open(compileModule(MODULES[2]).compiled, 3, 1024);
      console.log(selfTest(machine).ok);`;
    const run = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
      timeout: 20_000,
    });
    expect(run.stdout.trim()).toBe('true');
    expect(run.status).toBe(0);
  });
});
