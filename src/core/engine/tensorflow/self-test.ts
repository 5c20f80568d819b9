import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { messageOf } from '../../errors';
import { conv3d } from '../ops/conv3d';
import { relativeError } from '../wasm/reference';
import { TENSORFLOW_BACKEND } from './load-package';
import { FURTHER_TRIALS, TRIALS, type Trial } from './trials';

/** Sums of a few hundred terms in single precision. */
const TOLERANCE = 1e-4;

/** On a card TensorFlow multiplies in TF32 where it can: 10 bits of mantissa. */
const TOLERANCE_ON_GPU = 1e-2;

export interface SelfTest {
  readonly ok: boolean;
  /** What was compared, or where it went wrong. */
  readonly detail: string;
}

/**
 * Every operation that a network is made of, on made-up numbers, against tfjs's own JavaScript. The backend `tensorflow`
 * is the current one before and after.
 */
export async function selfTest(usesGpu: boolean): Promise<SelfTest> {
  const trials: [string, Trial][] = [...Object.entries(TRIALS), ...Object.entries(FURTHER_TRIALS)];
  await tf.setBackend('cpu');
  const expected = trials.map(([, trial]) => valuesOf(trial));
  await tf.setBackend(TENSORFLOW_BACKEND);
  let worst = 0;
  for (const [at, [name, trial]] of trials.entries()) {
    const error = errorOf(trial, expected[at]);
    if (typeof error === 'string') return { ok: false, detail: `${name} fails: ${error}` };
    if (!(error <= (usesGpu ? TOLERANCE_ON_GPU : TOLERANCE)))
      return { ok: false, detail: `${name} is off by ${error.toExponential(1)} of its largest value` };
    worst = Math.max(worst, error);
  }
  return {
    ok: true,
    detail: `${trials.length} operations, largest error ${worst.toExponential(1)} of the largest value`,
  };
}

function valuesOf(trial: Trial): (Float32Array | Int32Array | Uint8Array)[] {
  return tf.tidy(() => trial().map((result) => result.dataSync<keyof tf.DataTypeMap>())) as (
    Float32Array | Int32Array | Uint8Array
  )[];
}

/** The largest error of a trial's results, or what it threw. */
function errorOf(trial: Trial, expected: ReturnType<typeof valuesOf>): number | string {
  try {
    const values = valuesOf(trial);
    return Math.max(...expected.map((reference, r) => relativeError(values[r], reference)));
  } catch (error) {
    return messageOf(error);
  }
}

/** Grids and channels of growing 3 x 3 x 3 convolutions: a card needs much work to be measured, JavaScript little. */
const SIZES: readonly (readonly [side: number, channels: number])[] = [
  [4, 4],
  [8, 8],
  [16, 16],
  [24, 32],
  [32, 64],
  [64, 64],
];
const ENOUGH_MS = 10;

/** GFLOP/s of a 3 x 3 x 3 convolution, as large a one as takes some milliseconds, with its result brought back. */
export function timeConvolution(): number {
  let gflops = 0;
  for (const [side, channels] of SIZES) {
    const milliseconds = tf.tidy(() => {
      const x = tf.ones<tf.Rank.R5>([1, side, side, side, channels]);
      const filter = tf.ones<tf.Rank.R5>([3, 3, 3, channels, channels]);
      const attrs = { stride: [1, 1, 1], padding: [1, 1, 1], dilation: [1, 1, 1] } as const;
      const once = (): number => {
        const begin = performance.now();
        // One number of it: bringing all of it back would be most of the time.
        tf.slice(conv3d(x, filter, attrs), [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]).dataSync();
        return performance.now() - begin;
      };
      once(); // the first one plans
      return once();
    });
    gflops = (2 * side ** 3 * 27 * channels ** 2) / milliseconds / 1e6;
    if (milliseconds > ENOUGH_MS) break;
  }
  return gflops;
}
