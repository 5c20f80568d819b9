import type * as tf from '@tensorflow/tfjs-core';
import type { WasmBackend } from './backend';

export type Inputs = Record<string, tf.TensorInfo>;
export type Result = tf.TensorInfo | tf.TensorInfo[];

/** One kernel of the engine: reads its inputs' memory, makes its outputs. */
export type Implementation = (backend: WasmBackend, inputs: Inputs, attrs: tf.NamedAttrMap) => Result;
