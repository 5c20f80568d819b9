import type { Precision } from '../engine';
import { messageOf } from '../../errors';
import { Random } from '../../random';
import type { Shape5 } from '../ops/kernels';
import type { ConvGeometry, ConvPass } from '../wasm/conv-geometry';
import { convReference, convSizes, relativeError } from '../wasm/reference';
import { geometryOf } from '../wasm/self-test';
import type { GpuBackend } from './backend';
import { refusalOf } from './error-scopes';
import { computeConvolution } from './kernels/convolution';
import {
  SUBGROUP_MATRICES,
  matrixBuffers,
  type MatrixTileName,
  type MatrixUnit,
  type WorkgroupLimits,
} from './kernels/matrix-product';
import { matrixTiles, type MatrixAbility, type MatrixWay } from './kernels/product-choice';
import { kernelSettings } from './kernels/settings';

/** What Dawn tells of an adapter beyond the standard. */
interface MatrixInfo {
  readonly subgroupMinSize?: number;
  readonly subgroupMaxSize?: number;
  readonly subgroupMatrixConfigs?: Iterable<{
    readonly componentType: string;
    readonly resultComponentType: string;
    readonly M: number;
    readonly N: number;
    readonly K: number;
  }>;
}

/** The unit of an adapter that multiplies in a precision and adds up in f32: of several the largest. */
export function matrixUnitOf(
  info: MatrixInfo,
  features: readonly string[],
  languageFeatures: ReadonlySet<string>,
  limits: WorkgroupLimits,
  precision: Precision,
): MatrixUnit | undefined {
  const needed = ['subgroups', 'chromium-experimental-subgroup-matrix'];
  if (precision === 'f16') needed.push('shader-f16');
  if (!needed.every((feature) => features.includes(feature)) || !languageFeatures.has('subgroup_id'))
    return undefined;
  const { subgroupMinSize, subgroupMaxSize, subgroupMatrixConfigs } = info;
  const fixed = subgroupMinSize === subgroupMaxSize;
  if (!subgroupMaxSize || (!fixed && !features.includes('subgroup-size-control'))) return undefined;
  const units = [...(subgroupMatrixConfigs ?? [])]
    .filter((config) => config.componentType === precision && config.resultComponentType === 'f32')
    .map(({ M: m, N: n, K: k }): MatrixUnit => ({
      element: precision,
      m,
      n,
      k,
      subgroup: subgroupMaxSize,
      sized: !fixed,
    }))
    .filter((unit) => TESTED.some((tile) => matrixBuffers(unit, tile, limits) > 0))
    .sort((a, b) => b.m * b.n * b.k - a.m * a.n * a.k);
  return units[0];
}

/** Tiles that are compared before a unit is believed: the smallest, and the one that large layers take. */
const TESTED: readonly MatrixTileName[] = ['m64x64', 'm128x128'];

/** Ragged edges on every side, channels beyond one step and beyond one tile's columns. */
const TRIAL: ConvGeometry = geometryOf(2, [5, 6, 7], [40, 72], [3, 2, 3], {
  stride: [1, 1, 1],
  padding: [1, 0, 1],
  dilation: [1, 1, 1],
});

/** Beyond it something is wrong: operands of the trial are whole in half precision, and sums are those of f32. */
const TOLERANCE = 1e-5;

/**
 * Compares what a matrix unit computes with double precision. It is an experiment of Dawn's, and what does not compile or is wrong
 * is not used.
 * @returns why the unit is not taken; undefined where it is right
 */
export async function againstMatrix(
  backend: GpuBackend,
  ability: MatrixAbility,
): Promise<string | undefined> {
  const tiles = matrixTiles(ability).filter((tile) => TESTED.includes(tile));
  if (tiles.length === 0) return 'no tile fits it';
  let wrong: string | undefined;
  const refusal = await refusalOf(backend.device, async () => {
    try {
      for (const tile of tiles)
        for (const pass of ['y', 'dx', 'dfilter'] as const)
          for (const way of waysOf(ability.unit))
            wrong ??= await trialError(backend, ability, { way, tile }, pass);
    } catch (error) {
      wrong = messageOf(error);
    }
  });
  return refusal ?? wrong;
}

interface Operand {
  readonly values: Float32Array;
  readonly shape: Shape5;
}

const waysOf = ({ element }: MatrixUnit): readonly MatrixWay[] =>
  element === 'f16' ? ['matrix', 'matrix-halves'] : ['matrix'];

async function trialError(
  backend: GpuBackend,
  ability: MatrixAbility,
  { way, tile }: { readonly way: MatrixWay; readonly tile: MatrixTileName },
  pass: ConvPass,
): Promise<string | undefined> {
  const g = TRIAL;
  const random = Random.seeded(3);
  const sizes = convSizes(g);
  const whole = (length: number) =>
    Float32Array.from({ length }, () => Math.round(random.uniform(-1, 1) * 64) / 64);
  const [x, filter, dy] = [whole(sizes.x), whole(sizes.filter), whole(sizes.y)];
  const shapes = {
    x: [g.batch, ...g.input, g.inChannels] as unknown as Shape5,
    filter: [...g.kernel, g.inChannels, g.outChannels] as unknown as Shape5,
    y: [g.batch, ...g.output, g.outChannels] as unknown as Shape5,
  };
  const trial: { a: Operand; b: Operand; shape: Shape5; right: () => ArrayLike<number> } = {
    y: { a: { values: x, shape: shapes.x }, b: { values: filter, shape: shapes.filter }, shape: shapes.y, right: () => convReference.y(g, x, filter) }, // prettier-ignore
    dx: { a: { values: dy, shape: shapes.y }, b: { values: filter, shape: shapes.filter }, shape: shapes.x, right: () => convReference.dx(g, dy, filter) }, // prettier-ignore
    dfilter: { a: { values: x, shape: shapes.x }, b: { values: dy, shape: shapes.y }, shape: shapes.filter, right: () => convReference.dfilter(g, x, dy) }, // prettier-ignore
  }[pass];
  const settings = kernelSettings(backend);
  const { precision, matrices } = settings;
  const [a, b] = [trial.a, trial.b].map(({ values, shape }) =>
    backend.makeTensorInfo([...shape], 'float32', values),
  );
  const result = backend.output(trial.shape, 'float32');
  settings.precision = ability.unit.element;
  settings.matrices = [ability];
  try {
    computeConvolution(backend, pass, g, { way, tile, parts: pass === 'dx' ? 2 : 1 }, [a, b], result);
    const error = relativeError((await backend.read(result.dataId)) as Float32Array, trial.right());
    return error <= TOLERANCE ? undefined : `${pass} by ${way} ${tile} is off by ${error.toExponential(1)}`;
  } finally {
    settings.precision = precision;
    settings.matrices = matrices;
    for (const { dataId } of [a, b, result]) backend.disposeData(dataId);
  }
}

/** The matrix unit for a precision, if the GPU has one and it computes rightly, and what was found. */
export async function rightMatrices(
  backend: GpuBackend,
  precision: Precision,
): Promise<{ abilities: readonly MatrixAbility[]; detail?: string }> {
  const { gpu } = backend;
  const limits = backend.device.limits;
  const unit = matrixUnitOf(
    gpu.adapterInfo as MatrixInfo,
    gpu.report.features,
    gpu.instance.wgslLanguageFeatures,
    limits,
    precision,
  );
  if (!unit) return { abilities: [] };
  const ability: MatrixAbility = { unit, dialect: SUBGROUP_MATRICES, limits };
  const wrong = await againstMatrix(backend, ability);
  const name = `matrix units of ${unit.m} x ${unit.n} x ${unit.k} ${unit.element}`;
  return wrong === undefined
    ? { abilities: [ability], detail: `${name} are right` }
    : { abilities: [], detail: `${name} are not used: ${wrong}` };
}
