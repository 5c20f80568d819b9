import type { TensorInfo } from '@tensorflow/tfjs-core';
import { KERNELS } from '../../ops/kernels';
import type { PoolAttrs } from '../../ops/pool';
import type { GpuBackend, GpuProgram } from '../backend';
import { channelMoments, rowsOf } from './channel-moments';
import { channelSums, type Terms } from './channel-sums';
import { inSingle } from './half-copy';
import { sameMemory, sizeOf, type Implementation, type Inputs } from './implementation';
import { SPREAD, WINDOW_FIELDS, placeText, windowValues } from './pool-window';
import { maxPool, type Pooled } from './pooling';
import {
  forEach,
  forEachGroups,
  laneTypesWith,
  lanesFor,
  storage,
  uniform,
  type Binding,
} from './shader-text';
import { float, words } from './uniform-values';

interface NormAttrs {
  readonly epsilon: number;
  readonly relu: boolean;
  readonly residual: boolean;
  readonly overwrite?: boolean;
}

const VALUES = 'T';

/** How a tensor is bound, and a value of it read: what lies in half precision is widened. */
function bound(
  backend: GpuBackend,
  x: TensorInfo,
): { half: boolean; type: string; value: (of: string) => string } {
  const half = backend.inHalves(x);
  return half ? { half, type: 'H', value: (of) => `T(${of})` } : { half, type: VALUES, value: (of) => of };
}

/** Whether a result may lie in `x`'s memory: no other buffer of the same program may be the same one. */
function mayOverwrite(
  overwrite: boolean | undefined,
  x: TensorInfo,
  others: readonly (TensorInfo | undefined)[],
) {
  return overwrite === true && others.every((other) => other?.dataId !== x.dataId);
}

/** A result in x's memory, which the program then declares once, or in new memory. */
function placed(backend: GpuBackend, x: TensorInfo, over: boolean): TensorInfo {
  return over ? sameMemory(backend, x) : backend.output(x.shape, 'float32');
}

/** Statistics of a batch and what normalisation takes off, multiplies with and adds: by element of a channel `c`. */
const NORMALISED = (x: string) => `(${x} - mean[c]) * factor[c] + beta[c]`;
const SCALED = (x: string) => `${x} * scale[c] + shift[c]`;

/** y = act(value + residual), element by element. */
function affine(
  backend: GpuBackend,
  x: TensorInfo,
  residual: TensorInfo | undefined,
  {
    value: valueOf,
    channel,
  }: {
    value: (x: string) => string;
    channel: readonly (readonly [string, TensorInfo | GPUBuffer])[];
  },
  { relu, overwrite }: { relu: boolean; overwrite?: boolean },
): TensorInfo {
  const from = bound(backend, x);
  const added = residual && bound(backend, residual);
  const halves = from.half || added?.half === true;
  const value = valueOf(from.value('x[i]'));
  const over = !from.half && mayOverwrite(overwrite, x, [residual]);
  const y = placed(backend, x, over);
  const bindings: Binding[] = [
    { name: 'x', type: from.type, access: over ? 'read_write' : 'read' },
    ...channel.map(([name]) => ({ name, type: VALUES })),
    ...(added ? [{ name: 'residual', type: added.type }] : []),
    ...(over ? [] : [{ name: 'y', type: VALUES, access: 'read_write' as const }]),
  ];
  const sum = added ? `${value} + ${added.value('residual[i]')}` : value;
  const { channels } = rowsOf(x);
  const lanes = lanesFor(channels);
  const program: GpuProgram = {
    key: `affine ${sum} ${lanes} ${Number(relu)}${Number(over)}`,
    readsHalves: halves,
    wgsl: () => `
${laneTypesWith(halves, lanes)}
${storage(bindings)}
${uniform(bindings.length, 'count: u32, channels: u32,')}
${forEach(`
  let c = i % sizes.channels;
  ${over ? 'x' : 'y'}[i] = ${relu ? `max(T(0), ${sum})` : sum};`)}`,
  };
  const count = sizeOf(x) / lanes;
  const buffers = [
    x,
    ...channel.map(([, data]) => data),
    ...(residual ? [residual] : []),
    ...(over ? [] : [y]),
  ];
  backend.dispatch(program, buffers, forEachGroups(count), words(count, channels / lanes));
  return y;
}

/** Mean, variance and factor for the length of `work`. */
function withMoments<T>(
  backend: GpuBackend,
  x: TensorInfo,
  gamma: TensorInfo,
  epsilon: number,
  work: (moments: { mean: TensorInfo; variance: TensorInfo; factor: GPUBuffer }) => T,
): T {
  const { channels } = rowsOf(x);
  const mean = backend.output([channels], 'float32');
  const variance = backend.output([channels], 'float32');
  return backend.scratch(4 * channels, (factor) => {
    channelMoments(backend, x, gamma, epsilon, { mean, variance, factor });
    return work({ mean, variance, factor });
  });
}

const batchNormTrain: Implementation = (backend, { x: given, gamma, beta, residual }, attrs) => {
  const { epsilon, relu, overwrite } = attrs as unknown as NormAttrs;
  const normalised = (x: TensorInfo) =>
    withMoments(backend, x, gamma, epsilon, ({ mean, variance, factor }) => {
      const channel = [
        ['mean', mean],
        ['factor', factor],
        ['beta', beta],
      ] as const;
      const y = affine(
        backend,
        x,
        residual as TensorInfo | undefined,
        { value: NORMALISED, channel },
        { relu, overwrite },
      );
      return [y, mean, variance];
    });
  // Moments are taken of single precision.
  return inSingle(backend, { x: given }, ({ x }) => normalised(x));
};

const scaleShift: Implementation = (backend, { x, scale, shift, residual }, attrs) => {
  const channel = [
    ['scale', scale],
    ['shift', shift],
  ] as const;
  const { relu, overwrite } = attrs as unknown as NormAttrs;
  return affine(
    backend,
    x,
    residual as TensorInfo | undefined,
    { value: SCALED, channel },
    { relu, overwrite },
  );
};

/** What passes the rectifier: dy where y is positive. */
const passed = (relu: boolean, y = 'y[i]') => (relu ? `select(T(0), dy[i], ${y} > T(0))` : 'dy[i]');

/** Sums of g and of g * (x - mean), mean taken as 0 where there is none. */
function gradientTerms(backend: GpuBackend, inputs: Inputs, relu: boolean): Terms {
  const { dy, x, y, mean } = inputs;
  const centred = mean !== undefined;
  const from = bound(backend, x);
  const made = relu ? bound(backend, y) : undefined;
  const g = passed(relu, made?.value('y[i]'));
  const value = from.value('x[i]');
  return {
    name: `of a gradient ${g} ${value} ${Number(centred)}`,
    bindings: [
      { name: 'dy', type: VALUES },
      { name: 'x', type: from.type },
      ...(centred ? [{ name: 'mean', type: VALUES }] : []),
      ...(made ? [{ name: 'y', type: made.type }] : []),
    ],
    buffers: [dy, x, ...(centred ? [mean] : []), ...(made ? [y] : [])],
    halves: from.half || made?.half,
    text: () => `first = ${g}; second = first * ${centred ? `(${value} - mean[c])` : value};`,
  };
}

/**
 * From the sums of g and g * (x - mean): dgamma, dbeta and, for every channel, the mean and the three numbers of
 * dx = factor * g - offset - (x - mean) * slope, with s^2 = variance + epsilon:
 * dx = gamma / s * (g - mean(g) - (x - mean) / s^2 * mean(g * (x - mean))).
 */
const COEFFICIENTS: GpuProgram = {
  key: 'norm gradient coefficients',
  wgsl: () => `
${storage([
  { name: 'sums', type: 'f32' },
  { name: 'gamma', type: 'f32' },
  { name: 'mean', type: 'f32' },
  { name: 'variance', type: 'f32' },
  { name: 'dgamma', type: 'f32', access: 'read_write' },
  { name: 'dbeta', type: 'f32', access: 'read_write' },
  { name: 'coefficients', type: 'f32', access: 'read_write' },
])}
${uniform(7, 'count: u32, rows: f32, epsilon: f32,')}
${forEach(`
  let squared = variance[i] + sizes.epsilon;
  let factor = gamma[i] / sqrt(squared);
  let first = sums[i];
  let second = sums[sizes.count + i];
  dgamma[i] = second / sqrt(squared);
  dbeta[i] = first;
  coefficients[i] = factor;
  coefficients[sizes.count + i] = factor * first / sizes.rows;
  coefficients[2u * sizes.count + i] = factor * second / squared / sizes.rows;
  coefficients[3u * sizes.count + i] = mean[i];`)}`,
};

/** WGSL of dx from g: see {@link COEFFICIENTS}. They lie one after the other, [4, C]. */
const DX = (x: string) =>
  `coefficients[c] * g - coefficients[sizes.channels + c] - (${x} - coefficients[3 * sizes.channels + c]) * coefficients[2 * sizes.channels + c]`;

/** Makes dgamma and dbeta, and lends the coefficients of dx. */
function withCoefficients(
  backend: GpuBackend,
  { gamma, mean, variance }: Inputs,
  rows: number,
  epsilon: number,
  makeSums: (sums: GPUBuffer) => void,
  work: (coefficients: GPUBuffer) => TensorInfo[],
): TensorInfo[] {
  const channels = sizeOf(gamma);
  const dgamma = backend.output([channels], 'float32');
  const dbeta = backend.output([channels], 'float32');
  return backend.scratch(8 * channels, (sums) =>
    backend.scratch(16 * channels, (coefficients) => {
      makeSums(sums);
      backend.dispatch(
        COEFFICIENTS,
        [sums, gamma, mean, variance, dgamma, dbeta, coefficients],
        forEachGroups(channels),
        words(channels, float(rows), float(epsilon)),
      );
      const [dx, ...others] = work(coefficients);
      return [dx, dgamma, dbeta, ...others];
    }),
  );
}

/** dx, and dresidual where asked for: g itself. */
function elementGradient(
  backend: GpuBackend,
  { dy, x, y }: Inputs,
  { relu, residual, overwrite }: NormAttrs,
  {
    reads,
    data,
    dx: valueOf,
  }: {
    reads: readonly Binding[];
    data: readonly (TensorInfo | GPUBuffer)[];
    dx: (x: string) => string;
  },
): TensorInfo[] {
  const from = bound(backend, x);
  const made = relu ? bound(backend, y) : undefined;
  const value = valueOf(from.value('x[i]'));
  const g = passed(relu, made?.value('y[i]'));
  // Where dx does not look at x, x is not declared and cannot be written into either.
  const readsX = value.includes('x[i]');
  const halves = (readsX && from.half) || made?.half === true;
  const overX = readsX && !from.half && mayOverwrite(overwrite, x, [dy, relu ? y : undefined]);
  const overDy = residual && mayOverwrite(overwrite, dy, [x, relu ? y : undefined]);
  const dx = placed(backend, x, overX);
  const dresidual = residual ? placed(backend, dy, overDy) : undefined;
  const bindings: Binding[] = [
    { name: 'dy', type: VALUES, access: overDy ? 'read_write' : 'read' },
    ...(readsX
      ? [{ name: 'x', type: from.type, access: overX ? ('read_write' as const) : ('read' as const) }]
      : []),
    ...(made ? [{ name: 'y', type: made.type }] : []),
    ...reads,
    ...(overX ? [] : [{ name: 'dx', type: VALUES, access: 'read_write' as const }]),
    ...(dresidual && !overDy ? [{ name: 'dresidual', type: VALUES, access: 'read_write' as const }] : []),
  ];
  const { channels } = rowsOf(x);
  const lanes = lanesFor(channels);
  const program: GpuProgram = {
    key: `element gradient ${value} of ${g} ${lanes} ${[residual, overX, overDy].map(Number).join('')}`,
    readsHalves: halves,
    wgsl: () => `
${laneTypesWith(halves, lanes)}
${storage(bindings)}
${uniform(bindings.length, 'count: u32, channels: u32,')}
${forEach(`
  let c = i % sizes.channels;
  let g = ${g};
  ${overX ? 'x' : 'dx'}[i] = ${value};
  ${residual ? `${overDy ? 'dy' : 'dresidual'}[i] = g;` : ''}`)}`,
  };
  const count = sizeOf(x) / lanes;
  const buffers = [
    dy,
    ...(readsX ? [x] : []),
    ...(relu ? [y] : []),
    ...data,
    ...(overX ? [] : [dx]),
    ...(dresidual && !overDy ? [dresidual] : []),
  ];
  backend.dispatch(program, buffers, forEachGroups(count), words(count, channels / lanes));
  return dresidual ? [dx, dresidual] : [dx];
}

const batchNormTrainGradient: Implementation = (backend, inputs, attrs) => {
  const norm = attrs as unknown as NormAttrs;
  const rows = rowsOf(inputs.x);
  return withCoefficients(
    backend,
    inputs,
    rows.rows,
    norm.epsilon,
    (sums) => channelSums(backend, rows, gradientTerms(backend, inputs, norm.relu), sums),
    (coefficients) =>
      elementGradient(backend, inputs, norm, {
        reads: [{ name: 'coefficients', type: VALUES }],
        data: [coefficients],
        dx: DX,
      }),
  );
};

/** Two rows of [2, C] as tensors of their own. */
const SPLIT: GpuProgram = {
  key: 'split sums',
  wgsl: () => `
${storage([
  { name: 'sums', type: 'f32' },
  { name: 'a', type: 'f32', access: 'read_write' },
  { name: 'b', type: 'f32', access: 'read_write' },
])}
${uniform(3, 'count: u32,')}
${forEach('a[i] = sums[i]; b[i] = sums[sizes.count + i];')}`,
};

const scaleShiftGradient: Implementation = (backend, { dy, x, y, scale }, attrs) => {
  const norm = attrs as unknown as NormAttrs;
  const rows = rowsOf(x);
  const dshift = backend.output([rows.channels], 'float32');
  const dscale = backend.output([rows.channels], 'float32');
  backend.scratch(8 * rows.channels, (sums) => {
    channelSums(backend, rows, gradientTerms(backend, { dy, x, y }, norm.relu), sums);
    backend.dispatch(SPLIT, [sums, dshift, dscale], forEachGroups(rows.channels), words(rows.channels));
  });
  const [dx, ...others] = elementGradient(backend, { dy, x, y }, norm, {
    reads: [{ name: 'scale', type: VALUES }],
    data: [scale],
    dx: () => 'g * scale[c]',
  });
  return [dx, dscale, dshift, ...others];
};

const channelSum: Implementation = (backend, { x }) => {
  const rows = rowsOf(x);
  const result = backend.output([rows.channels], 'float32');
  const terms: Terms = {
    name: 'of x',
    bindings: [{ name: 'x', type: VALUES }],
    buffers: [x],
    text: () => 'first = x[i];',
  };
  backend.scratch(8 * rows.channels, (sums) => {
    channelSums(backend, rows, terms, sums);
    backend.dispatch(FIRST_OF_TWO, [sums, result], forEachGroups(rows.channels), words(rows.channels));
  });
  return result;
};

const FIRST_OF_TWO: GpuProgram = {
  key: 'first of two sums',
  wgsl: () => `
${storage([
  { name: 'sums', type: 'f32' },
  { name: 'a', type: 'f32', access: 'read_write' },
])}
${uniform(2, 'count: u32,')}
${forEach('a[i] = sums[i];')}`,
};

const normPool: Implementation = (backend, { x, gamma, beta }, attrs) => {
  const { epsilon, ...window } = attrs as unknown as PoolAttrs & { epsilon: number };
  return withMoments(backend, x, gamma, epsilon, ({ mean, variance, factor }) => {
    const pooled: Pooled = {
      bindings: ['mean', 'factor', 'beta'].map((name) => ({ name, type: VALUES })),
      buffers: [mean, factor, beta],
      value: '(x[source] - mean[c]) * factor[c] + beta[c]',
      rectified: true,
    };
    const { y, indices } = maxPool(backend, x, pooled, window);
    return [y, indices, mean, variance];
  });
};

const scaleShiftPool: Implementation = (backend, { x, scale, shift }, attrs) => {
  const pooled: Pooled = {
    bindings: ['scale', 'shift'].map((name) => ({ name, type: VALUES })),
    buffers: [scale, shift],
    value: 'x[source] * scale[c] + shift[c]',
    rectified: true,
  };
  const { y, indices } = maxPool(backend, x, pooled, attrs as unknown as PoolAttrs);
  backend.disposeData(indices.dataId);
  return y;
};

/** Sums over what was pooled alone: everywhere else g is 0. */
function pooledTerms(backend: GpuBackend, { dy, x, indices, mean }: Inputs): Terms {
  const from = bound(backend, x);
  const positions = (of: TensorInfo) => of.shape[1] * of.shape[2] * of.shape[3];
  return {
    name: `of a pooled gradient ${from.type}`,
    halves: from.half,
    bindings: [
      { name: 'dy', type: VALUES },
      { name: 'x', type: from.type },
      { name: 'indices', type: 'I' },
      { name: 'mean', type: VALUES },
    ],
    buffers: [dy, x, indices, mean],
    // Each channel's maximum lies elsewhere.
    text: (lanes) =>
      lanes === 1
        ? `
      let index = indices[i];
      if (index >= 0) {
        first = dy[i];
        second = first * (x[(row / sizes.pooled * sizes.positions + u32(index)) * sizes.channels + c] - mean[c]);
      }`
        : `
      let start = row / sizes.pooled * sizes.positions;
      let found = indices[i] >= I(0);
      first = select(T(0), dy[i], found);
      let index = vec4<u32>(max(I(0), indices[i]));
      let values = ${from.value(`vec4(
        x[(start + index.x) * sizes.channels + c].x,
        x[(start + index.y) * sizes.channels + c].y,
        x[(start + index.z) * sizes.channels + c].z,
        x[(start + index.w) * sizes.channels + c].w,
      )`)};
      second = first * (values - mean[c]);`,
    fields: 'positions: u32, pooled: u32,',
    values: [positions(x), positions(dy)],
  };
}

const normPoolGradient: Implementation = (backend, inputs, attrs) => {
  const { epsilon, overwrite, ...window } = attrs as unknown as PoolAttrs & {
    epsilon: number;
    overwrite?: boolean;
  };
  const { dy, x, indices } = inputs;
  const from = bound(backend, x);
  const over = !from.half && mayOverwrite(overwrite, x, [dy, indices]);
  const bindings: Binding[] = [
    { name: 'dy', type: VALUES },
    { name: 'indices', type: 'I' },
    { name: 'x', type: from.type, access: over ? 'read_write' : 'read' },
    { name: 'coefficients', type: VALUES },
    ...(over ? [] : [{ name: 'dx', type: VALUES, access: 'read_write' as const }]),
  ];
  const lanes = lanesFor(x.shape[4]);
  const program: GpuProgram = {
    key: `norm-pool gradient ${lanes} ${Number(over)} ${from.type}`,
    readsHalves: from.half,
    wgsl: () => `
${laneTypesWith(from.half, lanes)}
${storage(bindings)}
${uniform(bindings.length, WINDOW_FIELDS)}
${forEach(`${placeText('size')}${SPREAD}
  ${over ? 'x' : 'dx'}[i] = ${DX(from.value('x[i]'))};`)}`,
  };
  return withCoefficients(
    backend,
    inputs,
    rowsOf(x).rows,
    epsilon,
    (sums) => channelSums(backend, rowsOf(dy), pooledTerms(backend, inputs), sums),
    (coefficients) => {
      const dx = placed(backend, x, over);
      const count = sizeOf(x) / lanes;
      backend.dispatch(
        program,
        [dy, indices, x, coefficients, ...(over ? [] : [dx])],
        forEachGroups(count),
        words(...windowValues(count, lanes, x.shape, dy.shape, window)),
      );
      return [dx];
    },
  );
};

/** Normalisation, alone and with pooling behind it. */
export const normalisationKernels: Readonly<Record<string, Implementation>> = {
  [KERNELS.batchNormTrain]: batchNormTrain,
  [KERNELS.batchNormTrainGradient]: batchNormTrainGradient,
  [KERNELS.scaleShift]: scaleShift,
  [KERNELS.scaleShiftGradient]: scaleShiftGradient,
  [KERNELS.channelSum]: channelSum,
  [KERNELS.normPool]: normPool,
  [KERNELS.normPoolGradient]: normPoolGradient,
  [KERNELS.scaleShiftPool]: scaleShiftPool,
};
