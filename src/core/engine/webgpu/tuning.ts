import type { TensorInfo } from '@tensorflow/tfjs-core';
import { InputError } from '../../errors';
import { relativeError } from '../wasm/reference';
import type { GpuBackend, GpuProgram } from './backend';
import { refusalOf } from './error-scopes';
import { choicesToTime, estimatedChoice, type ConvChoice, type PlannedConv } from './kernels/conv-choice';
import { computeConvolution, type ConvOperands } from './kernels/convolution';
import { sizeOf } from './kernels/implementation';
import { forEach, forEachGroups, storage, uniform } from './kernels/shader-text';
import { kernelSettings } from './kernels/settings';
import { words } from './kernels/uniform-values';

/** A choice is timed over as many runs as take so long: clocks of GPUs may be no finer than 0.1 ms. */
const TIMED_MS = 4;
const MOST_RUNS = 20;
/** Rounds in which choices take turns; the best of each counts. */
const ROUNDS = 2;
/** A choice that takes so much longer in its first run is not run again. */
const HOPELESS = 3;

export interface TuningOptions {
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
  /** Choices of each way that are timed at most. */
  readonly most?: number;
}

/**
 * Times the choices for convolutions one by one and settles the plan on what was fastest. Their tensors hold noise: what
 * multiplies zeros takes less power, and may run faster than it ever will again.
 */
export async function tuneConvolutions(
  backend: GpuBackend,
  convolutions: readonly PlannedConv[],
  { onProgress, signal, most }: TuningOptions = {},
): Promise<void> {
  if (convolutions.length === 0) return;
  const settings = kernelSettings(backend);
  for (const [index, conv] of convolutions.entries()) {
    onProgress?.(index, convolutions.length);
    if (signal?.aborted) return;
    const { plan } = settings;
    const all = choicesToTime(conv, settings, most);
    const choices = all.filter((choice) => plan.affords(conv, choice));
    plan.settle(conv, await fastestChoice(backend, conv, choices), choices.length === all.length);
  }
  onProgress?.(convolutions.length, convolutions.length);
}

/** Results of a choice that are compared: those that lie first. */
const COMPARED = 2 ** 16;

/** Of the largest one: beyond it a kernel is wrong here, however fast. */
const AGREEMENT = { f32: 1e-4, f16: 2e-2 } as const;

/**
 * The choice that computes a convolution fastest on this GPU. One that the GPU refuses, or that does not agree with what threads
 * compute tap by tap, is none.
 */
export async function fastestChoice(
  backend: GpuBackend,
  conv: PlannedConv,
  choices: readonly ConvChoice[],
): Promise<ConvChoice> {
  if (choices.length === 1) return choices[0];
  const settings = kernelSettings(backend);
  const { precision } = settings;
  const tensors = tensorsOf(backend, conv);
  settings.precision = conv.precision;
  try {
    const time = timer(backend, conv, tensors);
    /** How long a choice takes and what it makes; undefined where it fails. */
    const tried = async (choice: ConvChoice) => {
      noise(backend, tensors.result);
      let ms = Infinity;
      const refusal = await refusalOf(backend.device, async () => {
        ms = await firstTime(time, choice);
      });
      if (refusal !== undefined || ms === Infinity) return undefined;
      return { choice, once: ms, ms: Infinity, made: await backend.readStart(tensors.result, COMPARED) };
    };
    const trusted = await tried(estimatedChoice(conv, {}));
    if (!trusted) return choices[0];
    const rivals = [];
    for (const choice of choices) {
      const one = await tried(choice);
      if (one && relativeError(one.made, trusted.made) <= AGREEMENT[conv.precision]) rivals.push(one);
    }
    const best = Math.min(...rivals.map(({ once }) => once));
    const left = rivals.filter(({ once }) => once <= HOPELESS * best);
    for (let round = 0; round < ROUNDS; round++)
      for (const one of left) {
        const runs = Math.ceil(Math.min(MOST_RUNS, TIMED_MS / one.once));
        one.ms = Math.min(one.ms, await time(one.choice, runs));
      }
    return left.reduce((a, b) => (b.ms < a.ms ? b : a), trusted).choice;
  } finally {
    settings.precision = precision;
    for (const { dataId } of [...tensors.operands, tensors.result]) backend.disposeData(dataId);
  }
}

type Timer = (choice: ConvChoice, runs: number) => Promise<number>;

function timer(
  backend: GpuBackend,
  { pass, g }: PlannedConv,
  { operands, result }: { readonly operands: ConvOperands; readonly result: TensorInfo },
): Timer {
  return async (choice, runs) =>
    (await backend.timed(() => {
      for (let i = 0; i < runs; i++) computeConvolution(backend, pass, g, choice, operands, result);
    })) / runs;
}

/** Once to compile it, once to see how long it takes; infinitely long where its memory does not fit. */
async function firstTime(time: Timer, choice: ConvChoice): Promise<number> {
  try {
    await time(choice, 1);
    return Math.max(1e-4, await time(choice, 1));
  } catch (error) {
    if (error instanceof InputError) return Infinity;
    throw error;
  }
}

function tensorsOf(backend: GpuBackend, { pass, g }: PlannedConv) {
  const x = [g.batch, ...g.input, g.inChannels];
  const y = [g.batch, ...g.output, g.outChannels];
  const filter = [...g.kernel, g.inChannels, g.outChannels];
  const shapes = { y: [x, filter, y], dx: [y, filter, x], dfilter: [x, y, filter] }[pass];
  const [a, b, result] = shapes.map((shape) => backend.output(shape, 'float32'));
  noise(backend, a);
  noise(backend, b);
  return { operands: [a, b] as const, result };
}

function noise(backend: GpuBackend, x: TensorInfo): void {
  const count = sizeOf(x);
  backend.dispatch(NOISE, [x], forEachGroups(count), words(count));
}

/** Numbers from -1 to 1 that look random: a multiplicative hash of their index. */
const NOISE: GpuProgram = {
  key: 'noise',
  wgsl: () => `
${storage([{ name: 'x', type: 'f32', access: 'read_write' }])}
${uniform(1, 'count: u32,')}
${forEach(`
  var bits = i * 2654435761u;
  bits = (bits ^ (bits >> 15u)) * 2246822519u;
  x[i] = f32(bits >> 8u) / 8388608.0 - 1.0;`)}`,
};
