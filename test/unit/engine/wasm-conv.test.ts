import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../../src/core/random';
import { convSizes } from '../../../src/core/engine/wasm/reference';
import type { ConvGeometry } from '../../../src/core/engine/wasm/convolution';
import { Machine } from '../../../src/core/engine/wasm/machine';
import { MODULES, compileModule } from '../../../src/core/engine/wasm/modules';
import { convErrors, geometryOf } from '../../../src/core/engine/wasm/self-test';
import type { Triple } from '../../../src/core/engine/ops/kernels';

const CHANNELS = [1, 2, 3, 4, 5, 8, 16, 17, 20, 33];

/** Any convolution that has an output: sizes 1 to 9, batches of 1 to 5, every axis with its own numbers. */
function randomGeometry(random: Random): ConvGeometry {
  const triple = (low: number, high: number): Triple => [
    low + random.integer(high - low + 1),
    low + random.integer(high - low + 1),
    low + random.integer(high - low + 1),
  ];
  for (;;) {
    const channels = [
      CHANNELS[random.integer(CHANNELS.length)],
      CHANNELS[random.integer(CHANNELS.length)],
    ] as const;
    const attrs = { stride: triple(1, 3), padding: triple(0, 3), dilation: triple(1, 3) };
    const geometry = geometryOf(1 + random.integer(5), triple(1, 9), channels, triple(1, 4), attrs);
    const products = geometry.output.reduce((a, b) => a * b, 1) * convSizes(geometry).filter * geometry.batch;
    if (Math.min(...geometry.output) >= 1 && products < 3e6) return geometry;
  }
}

const plain = { stride: [1, 1, 1], padding: [1, 1, 1], dilation: [1, 1, 1] } as const;

const NAMED: readonly [string, ConvGeometry][] = [
  ['3 x 3 x 3 of a demo network', geometryOf(2, [7, 6, 5], [16, 32], [3, 3, 3], plain)],
  ['a grid of one voxel', geometryOf(3, [1, 1, 1], [5, 17], [3, 3, 3], plain)],
  [
    '1 x 1 x 1 with stride 2',
    geometryOf(2, [7, 6, 5], [17, 33], [1, 1, 1], { ...plain, stride: [2, 2, 2], padding: [0, 0, 0] }),
  ],
  [
    'dilation 4 on a grid of 8',
    geometryOf(1, [8, 8, 8], [16, 16], [3, 3, 3], { ...plain, padding: [4, 4, 4], dilation: [4, 4, 4] }),
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
    geometryOf(1, [9, 9, 9], [5, 5], [2, 2, 2], {
      stride: [3, 3, 3],
      padding: [0, 0, 0],
      dilation: [1, 1, 1],
    }),
  ],
  [
    'different numbers on every axis',
    geometryOf(2, [6, 9, 7], [17, 5], [2, 3, 4], {
      stride: [1, 2, 3],
      padding: [2, 0, 1],
      dilation: [2, 3, 1],
    }),
  ],
];

for (const module of MODULES) {
  const result = compileModule(module);
  const compiled = 'compiled' in result ? result.compiled : undefined;
  const skipped = 'reason' in result ? ` (skipped: ${result.reason})` : '';
  describe.skipIf(!compiled)(`convolution kernels of ${module.name}${skipped}`, () => {
    let machine: Machine;
    beforeAll(async () => {
      machine = await Machine.open(compiled!, 2, 2048);
    });
    afterAll(() => machine?.close());

    it.each(NAMED)('agree with double precision: %s', (_, geometry) => {
      for (const [what, error] of convErrors(machine, geometry)) expect(error, what).toBeLessThan(1e-5);
    });

    it('agree with double precision on random sizes, strides, paddings and dilations', () => {
      const random = Random.seeded(7, module.name);
      for (let i = 0; i < 60; i++) {
        const geometry = randomGeometry(random);
        for (const [what, error] of convErrors(machine, geometry, i))
          expect(error, `${what} of ${JSON.stringify(geometry)}`).toBeLessThan(1e-5);
      }
    });
  });
}
