import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import type { OpenedEngine } from './opened-engine';

/** tfjs's own JavaScript backend: slow, and what others are compared with. */
export async function openTfjsCpu(): Promise<OpenedEngine> {
  await tf.setBackend('cpu');
  return {
    report: {
      name: 'cpu',
      precision: 'f32',
      threads: 1,
      node: process.version,
      reason: "asked for: tfjs's JavaScript kernels",
      selfTest: [],
    },
    close: async () => {},
  };
}
