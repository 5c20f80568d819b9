import fc from 'fast-check';
import { affineFromSpacing, IDENTITY, multiply } from '../../../src/core/volume/affine';
import type { Affine, Shape3, Triple, Volume } from '../../../src/core/volume/volume';

const number = (min: number, max: number) => fc.double({ min, max, noNaN: true });

/** Any permutation and flips of the axes. */
const signedPermutation: fc.Arbitrary<Affine> = fc
  .tuple(
    fc.constantFrom([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]),
    fc.tuple(sign(), sign(), sign()),
  )
  .map(([order, signs]) => {
    const affine = [...IDENTITY].map((value, at) => (at === 15 ? value : 0));
    order.forEach((row, column) => (affine[4 * row + column] = signs[column]));
    return affine;
  });

function sign(): fc.Arbitrary<number> {
  return fc.constantFrom(1, -1);
}

function turnedAbout(axis: number, angle: number): Affine {
  const [p, q] = [0, 1, 2].filter((other) => other !== axis);
  const affine = [...IDENTITY];
  affine[4 * p + p] = affine[4 * q + q] = Math.cos(angle);
  affine[4 * p + q] = -Math.sin(angle);
  affine[4 * q + p] = Math.sin(angle);
  return affine;
}

/** Oblique by up to 20 degrees about each axis, any order and sense of axes, voxels of 0.5 to 4 mm. */
export const anyAffine: fc.Arbitrary<Affine> = fc
  .record({
    angles: fc.tuple(number(-0.35, 0.35), number(-0.35, 0.35), number(-0.35, 0.35)),
    order: signedPermutation,
    spacing: fc.tuple(number(0.5, 4), number(0.5, 4), number(0.5, 4)),
    origin: fc.tuple(number(-200, 200), number(-200, 200), number(-200, 200)),
  })
  .map(({ angles, order, spacing, origin }) => {
    const rotation = angles.reduce<Affine>(
      (sum, angle, axis) => multiply(sum, turnedAbout(axis, angle)),
      IDENTITY,
    );
    const affine = [...multiply(multiply(rotation, order), affineFromSpacing(spacing))];
    [3, 7, 11].forEach((at, axis) => (affine[at] = origin[axis]));
    return affine;
  });

const shape: fc.Arbitrary<Shape3> = fc.tuple(
  fc.integer({ min: 1, max: 7 }),
  fc.integer({ min: 1, max: 7 }),
  fc.integer({ min: 1, max: 7 }),
);

/** A small image of float32 values on any grid. */
export const anyVolume: fc.Arbitrary<Volume> = fc.tuple(shape, anyAffine).chain(([size, affine]) => {
  const length = size[0] * size[1] * size[2];
  return fc
    .array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: length, maxLength: length })
    .map((values) => ({ shape: size, affine, data: Float32Array.from(values) }));
});

export const anyPoint: fc.Arbitrary<Triple> = fc.tuple(number(-50, 50), number(-50, 50), number(-50, 50));
