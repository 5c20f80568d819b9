import { Random } from '../random';
import type { AugmentationConfig } from './config';

/** Size of a sample in tensor order: D, H, W, channels. */
export type SampleShape = readonly [number, number, number, number];

const NOISE_TABLE = noiseTable();

/**
 * A changed copy of a sample, row-major [D, H, W, C]: rotation and scale about the centre (trilinear, 0 outside),
 * left-right mirror, contrast and offset, noise. Everything is drawn from `random`, so a draw can be repeated.
 * @param leftRight the axis (0 D, 1 H, 2 W) along which left and right lie
 */
export function augment(
  data: Float32Array,
  shape: SampleShape,
  config: AugmentationConfig,
  leftRight: 0 | 2,
  random: Random,
): Float32Array {
  return augmentBoth(data, undefined, shape, config, leftRight, random).data;
}

/** {@link augment} of a sample and of what its voxels are, row-major [D, H, W], moved alike (nearest, 0 outside). */
export function augmentLabelled(
  data: Float32Array,
  codes: Uint16Array,
  shape: SampleShape,
  config: AugmentationConfig,
  leftRight: 0 | 2,
  random: Random,
): { readonly data: Float32Array; readonly codes: Uint16Array } {
  const both = augmentBoth(data, codes, shape, config, leftRight, random);
  return { data: both.data, codes: both.codes ?? codes };
}

function augmentBoth(
  data: Float32Array,
  codes: Uint16Array | undefined,
  shape: SampleShape,
  config: AugmentationConfig,
  leftRight: 0 | 2,
  random: Random,
): { readonly data: Float32Array; readonly codes?: Uint16Array } {
  const angles = [0, 1, 2].map(() => (random.uniform(-1, 1) * config.rotation * Math.PI) / 180);
  const scale = 1 + random.uniform(-1, 1) * config.scale;
  const mirrored = random.chance(0.5) && config.flip;
  const move =
    config.rotation > 0 || config.scale > 0 || mirrored
      ? matrix(angles, 1 / scale, mirrored ? leftRight : undefined)
      : undefined;
  const moved = move ? transform(data, shape, move) : data.slice();
  const movedCodes = move && codes ? transformNearest(codes, shape, move) : codes;
  const gain = 1 + random.uniform(-1, 1) * config.intensity;
  const offset = random.uniform(-1, 1) * config.intensity;
  const from = random.integer(NOISE_TABLE.length);
  const stride = 1 + 2 * random.integer(NOISE_TABLE.length / 4);
  const mask = NOISE_TABLE.length - 1;
  if (config.intensity === 0 && config.noise === 0) return { data: moved, codes: movedCodes };
  for (let i = 0; i < moved.length; i++) {
    // The background stays exactly 0, as the recipe left it.
    if (moved[i] === 0) continue;
    moved[i] = moved[i] * gain + offset + config.noise * NOISE_TABLE[(from + i * stride) & mask];
  }
  return { data: moved, codes: movedCodes };
}

/** Rotations about D, H, W in turn, a scale, and a mirror, as a row-major 3 x 3 matrix from output to input offsets. */
function matrix(angles: readonly number[], scale: number, mirrorAxis: number | undefined): number[] {
  const [a, b, c] = angles;
  const aboutD = [1, 0, 0, 0, Math.cos(a), -Math.sin(a), 0, Math.sin(a), Math.cos(a)];
  const aboutH = [Math.cos(b), 0, Math.sin(b), 0, 1, 0, -Math.sin(b), 0, Math.cos(b)];
  const aboutW = [Math.cos(c), -Math.sin(c), 0, Math.sin(c), Math.cos(c), 0, 0, 0, 1];
  const product = multiply(aboutD, multiply(aboutH, aboutW)).map((m) => m * scale);
  if (mirrorAxis !== undefined)
    for (let column = 0; column < 3; column++) product[mirrorAxis * 3 + column] *= -1;
  return product;
}

function multiply(p: readonly number[], q: readonly number[]): number[] {
  const out: number[] = [];
  for (let row = 0; row < 3; row++)
    for (let column = 0; column < 3; column++)
      out.push(p[row * 3] * q[column] + p[row * 3 + 1] * q[3 + column] + p[row * 3 + 2] * q[6 + column]);
  return out;
}

/** output(o) = input(centre + m (o - centre)), trilinear, 0 outside. */
function transform(data: Float32Array, shape: SampleShape, m: readonly number[]): Float32Array {
  const [D, H, W, C] = shape;
  const out = new Float32Array(data.length);
  const [cd, ch, cw] = [(D - 1) / 2, (H - 1) / 2, (W - 1) / 2];
  for (let d = 0, to = 0; d < D; d++)
    for (let h = 0; h < H; h++) {
      let x = cd + m[0] * (d - cd) + m[1] * (h - ch) - m[2] * cw;
      let y = ch + m[3] * (d - cd) + m[4] * (h - ch) - m[5] * cw;
      let z = cw + m[6] * (d - cd) + m[7] * (h - ch) - m[8] * cw;
      for (let w = 0; w < W; w++, to += C, x += m[2], y += m[5], z += m[8]) {
        if (x <= -1 || y <= -1 || z <= -1 || x >= D || y >= H || z >= W) continue;
        addInterpolated(data, shape, x, y, z, out, to);
      }
    }
  return out;
}

/** {@link transform} of codes: that of the nearest voxel, 0 outside. */
function transformNearest(codes: Uint16Array, [D, H, W]: SampleShape, m: readonly number[]): Uint16Array {
  const out = new Uint16Array(codes.length);
  const [cd, ch, cw] = [(D - 1) / 2, (H - 1) / 2, (W - 1) / 2];
  for (let d = 0, to = 0; d < D; d++)
    for (let h = 0; h < H; h++)
      for (let w = 0; w < W; w++, to++) {
        const [od, oh, ow] = [d - cd, h - ch, w - cw];
        const x = Math.round(cd + m[0] * od + m[1] * oh + m[2] * ow);
        const y = Math.round(ch + m[3] * od + m[4] * oh + m[5] * ow);
        const z = Math.round(cw + m[6] * od + m[7] * oh + m[8] * ow);
        if (x >= 0 && y >= 0 && z >= 0 && x < D && y < H && z < W) out[to] = codes[(x * H + y) * W + z];
      }
  return out;
}

/** Adds to `out[to...]` the trilinear value of every channel at (x, y, z); neighbours outside count as 0. */
function addInterpolated(
  data: Float32Array,
  [D, H, W, C]: SampleShape,
  x: number,
  y: number,
  z: number,
  out: Float32Array,
  to: number,
): void {
  const x0 = Math.floor(x);
  const y0 = Math.floor(y);
  const z0 = Math.floor(z);
  const fz = z - z0;
  for (let corner = 0; corner < 4; corner++) {
    const xi = x0 + (corner >> 1);
    const yi = y0 + (corner & 1);
    if (xi < 0 || xi >= D || yi < 0 || yi >= H) continue;
    const weight = (corner >> 1 ? x - x0 : 1 - x + x0) * (corner & 1 ? y - y0 : 1 - y + y0);
    const at = ((xi * H + yi) * W + z0) * C;
    for (let c = 0; c < C; c++) {
      if (z0 >= 0) out[to + c] += weight * (1 - fz) * data[at + c];
      if (z0 + 1 < W) out[to + c] += weight * fz * data[at + C + c];
    }
  }
}

/** Normal deviates to walk through with odd strides: drawing each anew would cost more than the convolutions. */
function noiseTable(): Float32Array {
  const random = Random.seeded(0, 'noise table');
  return Float32Array.from({ length: 1 << 16 }, () => random.normal());
}
