import { afterEach, describe, expect, it } from 'vitest';
import type { Triple } from '../../../src/core/engine/ops/kernels';
import type { ConvGeometry } from '../../../src/core/engine/wasm/conv-geometry';
import { convSizes } from '../../../src/core/engine/wasm/reference';
import { geometryOf } from '../../../src/core/engine/wasm/self-test';
import { TILE_NAMES, chooseGemm } from '../../../src/core/engine/webgpu/kernels/gemm-choice';
import { kernelSettings } from '../../../src/core/engine/webgpu/kernels/settings';
import { Random } from '../../../src/core/random';
import { errors, everywhere, expectBelow, plain } from './convolution-errors';
import { gpuBackend, onSoftwareGpu } from './on-software-gpu';

const CHANNELS = [1, 2, 3, 4, 5, 8, 16, 17, 20, 33];

/** Any convolution that has an output: sizes 1 to 9, batches of 1 to 5, every axis with its own numbers. */
function randomGeometry(random: Random): ConvGeometry {
  const triple = (low: number, high: number): Triple => [
    low + random.integer(high - low + 1),
    low + random.integer(high - low + 1),
    low + random.integer(high - low + 1),
  ];
  for (;;) {
    const channel = () => CHANNELS[random.integer(CHANNELS.length)];
    const attrs = { stride: triple(1, 3), padding: triple(0, 3), dilation: triple(1, 3) };
    const g = geometryOf(1 + random.integer(5), triple(1, 9), [channel(), channel()], triple(1, 4), attrs);
    const products = g.output.reduce((a, b) => a * b, 1) * convSizes(g).filter * g.batch;
    if (Math.min(...g.output) >= 1 && products < 1e6) return g;
  }
}

const NAMED: readonly [string, ConvGeometry][] = [
  ['3 x 3 x 3 of a network', geometryOf(2, [7, 6, 5], [16, 32], [3, 3, 3], plain)],
  ['a grid of one voxel', geometryOf(3, [1, 1, 1], [5, 17], [3, 3, 3], plain)],
  [
    '1 x 1 x 1 with stride 2',
    geometryOf(2, [7, 6, 5], [20, 36], [1, 1, 1], { ...plain, stride: [2, 2, 2], padding: [0, 0, 0] }),
  ],
  ['3 x 3 x 3 with stride 2', geometryOf(2, [7, 6, 5], [16, 24], [3, 3, 3], { ...plain, stride: [2, 2, 2] })],
  [
    'dilation 4 on a grid of 8',
    geometryOf(1, [8, 8, 8], [8, 12], [3, 3, 3], { ...plain, padding: [4, 4, 4], dilation: [4, 4, 4] }),
  ],
  [
    'a stem of 7 x 7 x 7, one channel, stride 1, 2, 2',
    geometryOf(2, [9, 12, 11], [1, 16], [7, 7, 7], {
      stride: [1, 2, 2],
      padding: [3, 3, 3],
      dilation: [1, 1, 1],
    }),
  ],
  [
    'a stem of two modalities',
    geometryOf(1, [8, 9, 10], [2, 20], [7, 7, 7], {
      stride: [2, 2, 2],
      padding: [3, 3, 3],
      dilation: [1, 1, 1],
    }),
  ],
  [
    'a stride longer than the kernel',
    geometryOf(1, [9, 9, 9], [5, 8], [2, 2, 2], {
      stride: [3, 3, 3],
      padding: [0, 0, 0],
      dilation: [1, 1, 1],
    }),
  ],
  ['more channels than a tile has columns', geometryOf(1, [3, 3, 4], [72, 136], [3, 3, 3], plain)],
  // Wide filters over few positions: the sum is cut into parts.
  ['many channels on a small grid', geometryOf(2, [2, 2, 2], [160, 40], [3, 3, 3], plain)],
];

onSoftwareGpu('convolutions on the GPU', () => {
  afterEach(() => {
    const settings = kernelSettings(gpuBackend());
    settings.precision = 'f32';
    Reflect.deleteProperty(settings.plan, 'choose');
  });

  it.each(NAMED)('agree with double precision: %s', async (_, g) => {
    expectBelow(await errors(g, 5), 3e-6, g);
  });

  it('agree with double precision whatever the sizes, strides, dilation and padding', async () => {
    const random = Random.seeded(11);
    // One tile for all: software takes a second to compile a kernel.
    everywhere({ way: 'taps', tile: 'small', parts: 1 });
    for (let trial = 0; trial < 8; trial++) {
      const g = randomGeometry(random);
      expectBelow(await errors(g, trial), 3e-6, g);
    }
  });

  describe('with another choice than the built-in one', () => {
    const g = geometryOf(2, [5, 6, 7], [20, 28], [3, 3, 3], { ...plain, stride: [1, 2, 1] });
    it.each(TILE_NAMES)('agree by the tile "%s"', async (tile) => {
      everywhere({ way: 'taps', tile, parts: 1 });
      // Tiles for tuning alone are looked at where one text serves two passes: software takes seconds to compile one.
      const one = tile.includes('-') ? geometryOf(2, [4, 5, 6], [20, 28], [3, 2, 3], plain) : g;
      expectBelow(await errors(one, 3), 3e-6, one);
    });

    it('agree when the sum is cut into more parts than there are steps, and give the same bits again', async () => {
      everywhere({ way: 'taps', tile: 'small', parts: 40 });
      const first = await errors(g, 3);
      expectBelow(first, 3e-6, g);
      expect(await errors(g, 3)).toEqual(first);
    });

    it('agree in half precision to 2 % of the largest value', async () => {
      kernelSettings(gpuBackend()).precision = 'f16';
      for (const tile of ['wide', 'tall', 'small', 'narrow'] as const) {
        everywhere({ way: 'taps', tile, parts: 2 });
        const found = await errors(g, 3);
        expectBelow(found, 2e-2, g);
        // Else it was not half precision.
        expect(found.y).toBeGreaterThan(1e-5);
      }
    });
  });

  it('choose small tiles and parts of the sum where there is little to do, wide tiles where there is much', () => {
    const problem = { kind: 'gather', depth: 1728, columns: 128, count: 1 } as const;
    expect(chooseGemm({ ...problem, rows: 1e6 })).toEqual({ tile: 'wide', parts: 1 });
    expect(chooseGemm({ ...problem, rows: 216 })).toEqual({ tile: 'small', parts: 13 });
    expect(chooseGemm({ ...problem, rows: 1e6, columns: 16 })).toEqual({ tile: 'narrow', parts: 1 });
  });
});
