import * as tf from '@tensorflow/tfjs-core';
import { messageOf } from '../../errors';
import { openWebgpu } from './open';
import { gpuSelfTest } from './self-test';
import type { GpuVerdict } from './verdict';

// A process of its own, for drivers and Dawn can take theirs down: opens the GPU, compares what it computes with double
// precision, and says on standard output how that went (try-gpu.ts).

async function verdict(): Promise<GpuVerdict> {
  try {
    tf.enableProdMode();
    const { report, close } = await openWebgpu({});
    const { ok, detail, gflops } = await gpuSelfTest({ software: report.adapter?.software });
    await close();
    return { right: ok, detail, gflops, adapter: report.adapter as GpuVerdict['adapter'] };
  } catch (error) {
    return { right: false, detail: messageOf(error), gflops: 0 };
  }
}

const said = JSON.stringify(await verdict());
process.stdout.write(said, () => process.exit(0));
