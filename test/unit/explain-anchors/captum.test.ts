import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { closeEngine, openEngine } from '../../../src/core/engine/choose';
import type { EngineName } from '../../../src/core/engine/engine';
import { conv3d } from '../../../src/core/engine/ops/conv3d';
import { linear, linearGradient } from '../../../src/core/engine/ops/linear';
import { scaleShift, scaleShiftGradient } from '../../../src/core/engine/ops/norm';
import { channelMeans, classMap } from '../../../src/core/explain/gradcam';

// The example of captum's own tests, lifted to three dimensions: depth 1, kernel 1 x 3 x 3. Every number was derived by
// hand. The input is 0 to 15 as 4 x 4; two channels of ones with biases -50 and -75; ReLU; one linear output.
const OUTPUT_WEIGHTS = [1, 1, 1, 1, 1, -1, -1, -1]; // over channel 0's four positions, then channel 1's
const CONVOLVED = [
  [-5, 4, 31, 40],
  [-30, -21, 6, 15],
];

describe.each<EngineName>(['cpu', 'wasm'])('the hand-derived example on the engine %s', (engine) => {
  beforeAll(async () => {
    await openEngine({ engine });
  });
  afterAll(closeEngine);

  /** Runs the example there and back. All arrays are [positions, channels]. */
  function example() {
    return tf.tidy(() => {
      const x = tf.reshape(tf.range(0, 16), [1, 1, 4, 4, 1]) as tf.Tensor5D;
      const filter = tf.ones([1, 3, 3, 1, 2]) as tf.Tensor5D;
      const attrs = { stride: [1, 1, 1], padding: [0, 0, 0], dilation: [1, 1, 1] } as const;
      const [one, bias] = [tf.tensor1d([1, 1]), tf.tensor1d([-50, -75])];
      const sums = conv3d(x, filter, attrs);
      const convolved = scaleShift(sums, one, bias, undefined, false);
      const rectified = scaleShift(convolved, one, tf.zerosLike(bias), undefined, true);
      // Channel 0's positions first, as PyTorch flattens.
      const flat = tf.reshape(tf.transpose(rectified, [0, 4, 1, 2, 3]), [1, 8]) as tf.Tensor2D;
      const weight = tf.tensor2d([OUTPUT_WEIGHTS]);
      const logit = linear(flat, weight, tf.tensor1d([0]));
      const { dx } = linearGradient(tf.tensor2d([[1]]), flat, weight);
      const atRelu = tf.transpose(tf.reshape(dx, [1, 2, 1, 2, 2]), [0, 2, 3, 4, 1]) as tf.Tensor5D;
      const { dx: atConv } = scaleShiftGradient(atRelu, convolved, rectified, one, {
        relu: true,
        residual: false,
      });
      const read = (tensor: tf.Tensor) => [...tensor.dataSync()];
      return {
        logit: read(logit)[0],
        convolved: read(convolved),
        rectified: read(rectified),
        atRelu: read(atRelu),
        atConv: read(atConv),
      };
    });
  }

  const byPosition = ([first, second]: readonly (readonly number[])[]) =>
    first.flatMap((value, position) => [value, second[position]]);

  it('has logit 54', () => {
    const { logit, convolved } = example();
    expect(convolved).toEqual(byPosition(CONVOLVED));
    expect(logit).toBe(54);
  });

  it('has alpha (0.75, -0.5) at the convolution and (1, -0.5) at the ReLU', () => {
    const { atConv, atRelu } = example();
    expect([...channelMeans(atConv, 2)]).toEqual([0.75, -0.5]);
    expect([...channelMeans(atRelu, 2)]).toEqual([1, -0.5]);
  });

  it('has the Grad-CAM [[11.25, 13.5], [20.25, 22.5]] at the convolution', () => {
    const { convolved, atConv } = example();
    expect([...classMap(convolved, atConv, 2, 'gradcam')]).toEqual([11.25, 13.5, 20.25, 22.5]);
  });

  it('has the Grad-CAM [[0, 4], [28, 32.5]] at the ReLU', () => {
    const { rectified, atRelu } = example();
    expect([...classMap(rectified, atRelu, 2, 'gradcam')]).toEqual([0, 4, 28, 32.5]);
  });

  it('has a HiResCAM that adds up to the logit behind a linear head, before negative evidence is cut off', () => {
    const { rectified, atRelu, logit } = example();
    // Per position: 1 * channel 0 plus the output weight * channel 1. Channel 1's weights are +1, -1, -1, -1.
    expect([...classMap(rectified, atRelu, 2, 'hirescam')]).toEqual([0, 4, 31 - 6, 40 - 15]);
    expect(0 + 4 + (31 - 6) + (40 - 15)).toBe(logit);
  });

  it('never shows evidence against a class: what is below 0 becomes 0, nothing is turned upside down', () => {
    const { rectified, atRelu } = example();
    const against = atRelu.map((gradient) => -gradient);
    expect([...classMap(rectified, against, 2, 'gradcam')]).toEqual([0, 0, 0, 0]);
  });
});
