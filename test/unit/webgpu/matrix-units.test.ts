import { create, globals } from 'webgpu';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ConvGeometry } from '../../../src/core/engine/wasm/conv-geometry';
import { geometryOf } from '../../../src/core/engine/wasm/self-test';
import {
  estimatedChoice,
  choiceOf,
  choicesToTime,
} from '../../../src/core/engine/webgpu/kernels/conv-choice';
import { filterGradientText } from '../../../src/core/engine/webgpu/kernels/filter-gradient-text';
import { gatherProductText } from '../../../src/core/engine/webgpu/kernels/gather-product-text';
import {
  MATRIX_TILE_NAMES,
  SUBGROUP_MATRICES,
  matrixBuffers,
  matrixProduct,
  type MatrixTileName,
  type MatrixUnit,
} from '../../../src/core/engine/webgpu/kernels/matrix-product';
import type { MatrixWay } from '../../../src/core/engine/webgpu/kernels/product-choice';
import { kernelSettings } from '../../../src/core/engine/webgpu/kernels/settings';
import { againstMatrix, matrixUnitOf } from '../../../src/core/engine/webgpu/matrix-units';
import { fastestChoice } from '../../../src/core/engine/webgpu/tuning';
import { EMULATED_MATRICES } from './emulated-matrices';
import { gpuBackend, onSoftwareGpu } from './on-software-gpu';
import { errors, everywhere, expectBelow, plain } from './convolution-errors';

const LIMITS = { maxComputeWorkgroupStorageSize: 49_152, maxComputeInvocationsPerWorkgroup: 1024 };

/** As adapters tell them: NVIDIA's and AMD's, Intel's, Apple's. */
const NVIDIA: MatrixUnit = { element: 'f16', m: 16, n: 16, k: 16, subgroup: 32 };
const INTEL: MatrixUnit = { element: 'f16', m: 8, n: 16, k: 16, subgroup: 32, sized: true };
const APPLE: MatrixUnit = { element: 'f32', m: 8, n: 8, k: 8, subgroup: 32 };

describe("subgroup matrices in Dawn's compiler", () => {
  let device: GPUDevice;
  let gpu: GPU | undefined;
  beforeAll(async () => {
    for (const [name, value] of Object.entries(globals))
      if (name.startsWith('GPU')) Object.assign(globalThis, { [name]: value });
    // No GPU at all: what is compiled is checked and goes nowhere.
    gpu = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']);
    const adapter = (await gpu.requestAdapter())!;
    device = await adapter.requestDevice({
      requiredFeatures: [
        'shader-f16',
        'subgroups',
        'subgroup-size-control',
        'chromium-experimental-subgroup-matrix',
      ] as GPUFeatureName[],
    });
    return () => {
      device.destroy();
      gpu = undefined;
    };
  });

  /** Two numbers of classes, and copies in half precision where they can be read. */
  const operandsFor = ({ element }: MatrixUnit, inFours: boolean) => [
    { classes: 1, operands: 'f32' } as const,
    { classes: 8, operands: 'f32' } as const,
    ...(element === 'f16' && inFours ? [{ classes: 8, operands: 'f16' } as const] : []),
  ];

  async function complaints(code: string): Promise<string[]> {
    device.pushErrorScope('validation');
    const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
    await device.popErrorScope();
    return messages.map(({ message }) => message);
  }

  it.each([NVIDIA, INTEL, APPLE])('compile in every variant: %o', async (unit) => {
    let texts = 0;
    for (const name of MATRIX_TILE_NAMES)
      for (const buffers of [1, 2] as const) {
        const product = (layout: 'rows' | 'depth') =>
          matrixProduct(unit, name, buffers, SUBGROUP_MATRICES, layout);
        for (const vectorColumns of [true, false]) {
          for (const byTap of [true, false])
            for (const { classes, operands } of operandsFor(unit, byTap && vectorColumns)) {
              expect(
                await complaints(
                  gatherProductText({ byTap, vectorColumns, classes, operands }, product('rows')),
                ),
              ).toEqual([]);
              texts++;
            }
          for (const vectorRows of [true, false])
            for (const { operands } of operandsFor(unit, vectorRows && vectorColumns).slice(1)) {
              expect(
                await complaints(
                  filterGradientText({ vectorRows, vectorColumns, operands }, product('depth')),
                ),
              ).toEqual([]);
              texts++;
            }
        }
      }
    // Of single precision 24 a tile; halves where all comes in fours, of both kinds of kernel and with either buffering.
    expect(texts).toBe(MATRIX_TILE_NAMES.length * (unit.element === 'f16' ? 28 : 24));
  });

  it('are looked at closely: what no matrix unit may do is refused', async () => {
    const product = matrixProduct(NVIDIA, 'm64x64', 1, SUBGROUP_MATRICES, 'rows');
    const text = gatherProductText(
      { byTap: true, vectorColumns: true, classes: 1, operands: 'f32' },
      product,
    );
    const diverging = text.replace(/let a = subgroupMatrixLoad/, 'if (thread == 3u) { return; } $&');
    expect(diverging).not.toBe(text);
    expect((await complaints(diverging)).join()).toContain('uniform');
    const mixed = text.replace('subgroup_matrix_left<f16, 16, 16>', 'subgroup_matrix_left<f16, 8, 16>');
    expect(mixed).not.toBe(text);
    expect((await complaints(mixed)).length).toBeGreaterThan(0);
  });
});

describe('a matrix unit', () => {
  const config = (componentType: string, resultComponentType: string, M: number, N: number, K: number) => ({
    componentType,
    resultComponentType,
    M,
    N,
    K,
  });
  const features = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'];
  const language = new Set(['subgroup_id']);
  const nvidia = {
    subgroupMinSize: 32,
    subgroupMaxSize: 32,
    subgroupMatrixConfigs: [
      config('f16', 'f16', 16, 16, 16),
      config('f16', 'f32', 16, 8, 8),
      config('f16', 'f32', 16, 16, 16),
      config('i8', 'i32', 16, 16, 32),
    ],
  };

  it('is taken where it adds up in single precision, the largest of several', () => {
    expect(matrixUnitOf(nvidia, features, language, LIMITS, 'f16')).toEqual({ ...NVIDIA, sized: false });
    expect(matrixUnitOf(nvidia, features, language, LIMITS, 'f32')).toBeUndefined();
    const apple = { ...nvidia, subgroupMatrixConfigs: [config('f32', 'f32', 8, 8, 8)] };
    expect(matrixUnitOf(apple, features, language, LIMITS, 'f32')).toEqual({ ...APPLE, sized: false });
  });

  it('is not taken where a feature, the size of subgroups or room for a tile is missing', () => {
    for (const one of features)
      expect(
        matrixUnitOf(
          nvidia,
          features.filter((feature) => feature !== one),
          language,
          LIMITS,
          'f16',
        ),
      ).toBeUndefined();
    expect(matrixUnitOf(nvidia, features, new Set(), LIMITS, 'f16')).toBeUndefined();
    const varying = { ...nvidia, subgroupMinSize: 16 };
    expect(matrixUnitOf(varying, features, language, LIMITS, 'f16')).toBeUndefined();
    expect(
      matrixUnitOf(varying, [...features, 'subgroup-size-control'], language, LIMITS, 'f16'),
    ).toMatchObject({ subgroup: 32, sized: true });
    const small = { ...LIMITS, maxComputeWorkgroupStorageSize: 8192 };
    expect(matrixUnitOf(nvidia, features, language, small, 'f16')).toBeUndefined();
    expect(matrixUnitOf({}, features, language, LIMITS, 'f16')).toBeUndefined();
  });

  it('has two buffers where there is room, and only tiles that it fills', () => {
    expect(matrixBuffers(NVIDIA, 'm128x64', LIMITS)).toBe(2);
    expect(matrixBuffers(NVIDIA, 'm128x128', LIMITS)).toBe(1);
    expect(matrixBuffers({ ...NVIDIA, m: 64 }, 'm64x64', LIMITS)).toBe(0);
    expect(matrixBuffers(NVIDIA, 'm64x64', { ...LIMITS, maxComputeInvocationsPerWorkgroup: 64 })).toBe(0);
  });

  it('is chosen for its precision where there is enough to multiply', () => {
    const abilities = { matrices: [{ unit: NVIDIA, dialect: SUBGROUP_MATRICES, limits: LIMITS }] };
    const g = geometryOf(8, [24, 24, 24], [64, 64], [3, 3, 3], plain);
    const conv = { pass: 'y', g, precision: 'f16' } as const;
    expect(estimatedChoice(conv, abilities)).toMatchObject({ way: 'matrix-halves', parts: 1 });
    expect(estimatedChoice(conv, {}).way).toBe('taps');
    expect(estimatedChoice({ ...conv, precision: 'f32' }, abilities).way).toBe('taps');
    const few = { ...conv, g: geometryOf(8, [24, 24, 24], [64, 2], [1, 1, 1], plain) };
    expect(estimatedChoice(few, abilities).way).toBe('taps');
    expect(new Set(choicesToTime(conv, abilities).map(({ way }) => way))).toEqual(
      new Set(['taps', 'matrix', 'matrix-halves']),
    );
    expect(choiceOf('matrix m128x64 2', conv, abilities)).toEqual({
      way: 'matrix',
      tile: 'm128x64',
      parts: 2,
    });
    expect(choiceOf('matrix-halves m128x64 2', conv, abilities)).toMatchObject({ way: 'matrix-halves' });
    const odd = { ...conv, g: geometryOf(8, [24, 24, 24], [63, 64], [3, 3, 3], plain) };
    expect(choiceOf('matrix-halves m128x64 2', odd, abilities)).toBeUndefined();
    expect(estimatedChoice(odd, abilities).way).toBe('matrix');
    expect(choiceOf('matrix m128x64 2', conv, {})).toBeUndefined();
    expect(choiceOf('matrix tall 2', conv, abilities)).toBeUndefined();
  });
});

onSoftwareGpu('matrix units, emulated', () => {
  afterEach(() => {
    const settings = kernelSettings(gpuBackend());
    settings.precision = 'f32';
    settings.matrices = [];
    Reflect.deleteProperty(settings.plan, 'choose');
  });

  // Ragged edges, channels beyond one step; and numbers of channels that are no multiple of four, whose taps are summed together.
  const blocks = geometryOf(2, [3, 5, 4], [40, 68], [3, 2, 3], plain);
  const odd = geometryOf(1, [5, 3, 4], [5, 18], [3, 2, 3], plain);

  it.each([
    ['matrix', 'm64x64', 2, NVIDIA, blocks],
    ['matrix-halves', 'm64x64', 2, NVIDIA, blocks],
    ['matrix', 'm128x32', 1, NVIDIA, odd],
    ['matrix', 'm64x64', 2, INTEL, blocks],
    ['matrix', 'm64x64', 2, APPLE, blocks],
  ] as [MatrixWay, MatrixTileName, number, MatrixUnit, ConvGeometry][])(
    'agree with double precision as %s by %s with %d buffers of %o',
    async (way, tile, buffers, unit, g) => {
      const settings = kernelSettings(gpuBackend());
      const { limits } = gpuBackend().device;
      settings.precision = unit.element;
      settings.matrices = [{ unit, dialect: EMULATED_MATRICES, limits }];
      expect(matrixBuffers(unit, tile, limits)).toBe(buffers);
      everywhere({ way, tile, parts: 2 });
      expectBelow(await errors(g, 3, { wholeInHalf: true }), 3e-6, g);
    },
  );

  it('are believed where they are right, and not where they are wrong', async () => {
    const { limits } = gpuBackend().device;
    const small = {
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      maxComputeInvocationsPerWorkgroup: 128,
    };
    const right = { unit: NVIDIA, dialect: EMULATED_MATRICES, limits: small };
    expect(await againstMatrix(gpuBackend(), right)).toBeUndefined();
    const wrong = {
      ...right,
      dialect: {
        ...EMULATED_MATRICES,
        name: 'wrong',
        load: (...[, , , name]: Parameters<typeof EMULATED_MATRICES.load>) => `let ${name} = 0u;`,
      },
    };
    expect(await againstMatrix(gpuBackend(), wrong)).toMatch(/^y by matrix m64x64 is off by/);
    // Nor is it in tuning, however fast it may be.
    const settings = kernelSettings(gpuBackend());
    const conv = { pass: 'y', g: blocks, precision: 'f16' } as const;
    const choices = [
      { way: 'matrix', tile: 'm64x64', parts: 1 },
      { way: 'taps', tile: 'small', parts: 1 },
    ] as const;
    const timed = vi.spyOn(gpuBackend(), 'timed').mockImplementation(async (work) => {
      work();
      return settings.matrices.length;
    });
    settings.matrices = [wrong];
    expect(await fastestChoice(gpuBackend(), conv, choices)).toBe(choices[1]);
    settings.matrices = [right];
    expect(await fastestChoice(gpuBackend(), conv, choices)).toBe(choices[0]);
    timed.mockRestore();
    // lavapipe has no matrix unit: Dawn refuses the text, and the device goes on.
    expect(await againstMatrix(gpuBackend(), { ...right, dialect: SUBGROUP_MATRICES })).toMatch(/not allowed|not available|subgroup/i); // prettier-ignore
    expectBelow(await errors(blocks, 3), 3e-6, blocks);
  });
});
