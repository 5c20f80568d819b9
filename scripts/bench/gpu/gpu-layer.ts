import * as tf from '@tensorflow/tfjs-core';
import { prepareEngine } from '../../../src/core/engine/choose';
import { conv3d, conv3dFilterGradient, conv3dInputGradient } from '../../../src/core/engine/ops/conv3d';
import type { Shape5 } from '../../../src/core/engine/ops/kernels';
import { convFlops, geometryOf } from '../../../src/core/engine/wasm/self-test';
import type { LayerPass, LayerRequest } from '../requests';
import { fill } from './factors';
import { gpu, timesOf } from './gpu-in-use';

/** Milliseconds of a convolution's passes on the open GPU, as a training step calls them. */
export async function gpuLayer(request: LayerRequest): Promise<object> {
  const { batch, input, inChannels, outChannels, kernel, passes, repeats, leastMs = 20 } = request;
  const g = geometryOf(batch, input, [inChannels, outChannels], kernel, request);
  const shapes: Record<'x' | 'filter' | 'y', Shape5> = {
    x: [batch, ...input, inChannels],
    filter: [...kernel, inChannels, outChannels],
    y: [batch, ...g.output, outChannels],
  };
  const [x, filter, dy] = [filled(shapes.x, 1), filled(shapes.filter, 2), filled(shapes.y, 3)];
  const attrs = { stride: g.stride, padding: g.padding, dilation: g.dilation };
  const runs: Record<LayerPass, () => tf.Tensor> = {
    forward: () => conv3d(x, filter, attrs),
    'input gradient': () => conv3dInputGradient(dy, filter, attrs, shapes.x),
    'filter gradient': () => conv3dFilterGradient(x, dy, attrs, shapes.filter),
  };
  try {
    // The GPU's choice for each pass is timed first, as before a run.
    await prepareEngine(async () => {
      for (const pass of passes) runs[pass]().dispose();
    });
    const times: Partial<Record<LayerPass, number[]>> = {};
    for (const pass of passes) times[pass] = await timesOf(() => runs[pass]().dispose(), repeats, leastMs);
    return { ...times, flops: convFlops(g), bytes: bytesOf(shapes) };
  } finally {
    tf.dispose([x, filter, dy]);
  }
}

/** Values without a pattern, for how fast a GPU's clock runs depends on how many bits change; made where they are used. */
function filled(shape: Shape5, salt: number): tf.Tensor5D {
  const info = gpu().output(shape, 'float32');
  fill(gpu().buffer(info), 'f32', tf.util.sizeFromShape([...shape]), salt);
  return tf.engine().makeTensorFromTensorInfo(info) as tf.Tensor5D;
}

/** What every pass moves at least, in single precision: two of the tensors in, one out. */
function bytesOf(shapes: Record<string, Shape5>): number {
  return Object.values(shapes).reduce((sum, shape) => sum + shape.reduce<number>((a, b) => a * b, 4), 0);
}
