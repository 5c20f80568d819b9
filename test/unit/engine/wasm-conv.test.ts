import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../../src/core/random';
import { addInputGradient } from '../../../src/core/engine/wasm/convolution';
import { convReference, convSizes, relativeError } from '../../../src/core/engine/wasm/reference';
import type { ConvGeometry } from '../../../src/core/engine/wasm/conv-geometry';
import { Machine } from '../../../src/core/engine/wasm/machine';
import { algorithmsFor, type Algorithm } from '../../../src/core/engine/wasm/conv-plan';
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

/** A convolution that tiles serve: 3 x 3 x 3 taps, every axis with its own stride, or dilation and padding. */
function randomTiled(random: Random): ConvGeometry {
  for (;;) {
    const axes = [0, 1, 2].map(() => {
      const stride = 1 + random.integer(2);
      const dilation = stride === 2 ? 1 : [1, 2, 4][random.integer(3)];
      // A network's padding, or any.
      const padding = random.integer(2) ? dilation : random.integer(5);
      return { stride, dilation, padding, size: 1 + random.integer(9) };
    });
    const of = (what: 'stride' | 'dilation' | 'padding' | 'size') =>
      axes.map((axis) => axis[what]) as unknown as Triple;
    const channels = [
      CHANNELS[random.integer(CHANNELS.length)],
      CHANNELS[random.integer(CHANNELS.length)],
    ] as const;
    const geometry = geometryOf(1 + random.integer(5), of('size'), channels, [3, 3, 3], {
      stride: of('stride'),
      padding: of('padding'),
      dilation: of('dilation'),
    });
    const products = geometry.output.reduce((a, b) => a * b, 1) * convSizes(geometry).filter * geometry.batch;
    if (Math.min(...geometry.output) >= 1 && products < 3e6) return geometry;
  }
}

/** Stems over one channel: depths that are no multiple of what is made at a time, strides of 1 and 2, uneven padding. */
const STEMS: readonly ConvGeometry[] = [
  geometryOf(2, [9, 12, 11], [1, 20], [7, 7, 7], {
    stride: [1, 2, 2],
    padding: [3, 3, 3],
    dilation: [1, 1, 1],
  }),
  geometryOf(1, [17, 10, 9], [1, 16], [7, 7, 7], {
    stride: [2, 2, 2],
    padding: [3, 3, 3],
    dilation: [1, 1, 1],
  }),
  geometryOf(3, [7, 5, 21], [1, 33], [7, 5, 3], {
    stride: [1, 1, 3],
    padding: [0, 2, 5],
    dilation: [1, 1, 1],
  }),
  geometryOf(1, [1, 8, 3], [1, 8], [7, 8, 7], { stride: [2, 1, 1], padding: [3, 4, 3], dilation: [1, 1, 1] }),
];

const TILES: readonly Algorithm[] = ['tiles-2', 'tiles-3', 'tiles-4'];

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
  // Larger filters than grids: threads pack panels of their own, with 256 channels and more in slices of taps.
  ['many channels on a small grid', geometryOf(2, [2, 3, 4], [72, 268], [3, 3, 3], plain)],
  [
    'many channels on a small grid, strided',
    geometryOf(2, [5, 3, 4], [260, 71], [3, 2, 3], { ...plain, stride: [2, 1, 2], padding: [1, 0, 1] }),
  ],
  [
    'many channels, 1 x 1 x 1',
    geometryOf(2, [2, 2, 3], [130, 300], [1, 1, 1], { ...plain, padding: [0, 0, 0] }),
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

    it.each(NAMED)('add the gradient of the input to what has arrived of it: %s', (_, geometry) => {
      const { heap } = machine;
      const sizes = convSizes(geometry);
      const random = Random.seeded(3, module.name);
      const fill = (length: number) => Float32Array.from({ length }, () => random.uniform() * 2 - 1);
      const [filter, dy, before] = [fill(sizes.filter), fill(sizes.y), fill(sizes.x)];
      const expected = convReference.dx(geometry, dy, filter).map((value, i) => value + before[i]);
      for (const algorithm of algorithmsFor('dx', geometry))
        heap.withScratch([sizes.filter * 4, sizes.y * 4, sizes.x * 4], (filterAt, dyAt, sumAt) => {
          heap.float32(filterAt, sizes.filter).set(filter);
          heap.float32(dyAt, sizes.y).set(dy);
          heap.float32(sumAt, sizes.x).set(before);
          addInputGradient(machine, geometry, dyAt, filterAt, sumAt, algorithm);
          expect(relativeError(heap.float32(sumAt, sizes.x), expected), algorithm).toBeLessThan(1e-5);
        });
    });

    it.each(TILES)('agree with double precision by %s', (algorithm) => {
      const random = Random.seeded(11, module.name);
      for (let i = 0; i < 40; i++) {
        const geometry = randomTiled(random);
        expect(algorithmsFor('y', geometry)).toContain(algorithm);
        for (const [what, error] of convErrors(machine, geometry, i, algorithm))
          expect(error, `${what} of ${JSON.stringify(geometry)}`).toBeLessThan(1e-5);
      }
    });

    it('agree with double precision by short convolutions along the depth', () => {
      for (const geometry of STEMS) {
        expect(algorithmsFor('y', geometry)).toContain('depth');
        for (const [what, error] of convErrors(machine, geometry, 3, 'depth'))
          expect(error, `${what} of ${JSON.stringify(geometry)}`).toBeLessThan(1e-5);
      }
    });

    it('agree with double precision where scratch memory is worked through in several parts', () => {
      // More input channels than one block of the gradient's rows, more tiles than one chunk.
      const wide = geometryOf(1, [2, 2, 3], [300, 150], [3, 3, 3], plain);
      const long = geometryOf(5, [13, 9, 14], [20, 24], [3, 3, 3], plain);
      // A filter that is transformed channels by channels and rows by rows, for more tiles than are in hand at a time.
      const unit = geometryOf(7, [5, 5, 5], [100, 76], [3, 3, 3], plain);
      for (const [geometry, algorithm] of [
        [unit, 'tiles-4'],
        [wide, 'tiles-4'],
        [long, 'tiles-2'],
      ] as const)
        for (const [what, error] of convErrors(machine, geometry, 1, algorithm))
          expect(error, what).toBeLessThan(1e-5);
    });
  });
}
