import type { Random } from '../../random';
import { voxelCount, type Shape3 } from '../../volume/volume';
import { smoothNoise } from './smooth-noise';

/** Standard deviation of the bias field, as a share of the signal. */
const BIAS = 0.05;

/**
 * What one scan adds to a signal: fine texture, a smooth bias field, the receiver's gain and Rician noise. Drawn once and
 * applied to as many signals as wanted: a case and its twin are scanned by the very same numbers.
 */
export class Acquisition {
  private readonly factor: Float32Array;
  private readonly real: Float32Array;
  private readonly imaginary: Float32Array;
  private readonly gain: number;

  /**
   * @param spacing isotropic voxel size in mm
   * @param texture standard deviation of the texture, as a share of the signal
   * @param noise standard deviation of each noise channel, in units of the signal
   */
  constructor(shape: Shape3, spacing: number, texture: number, noise: number, random: Random) {
    const voxels = voxelCount(shape);
    this.factor = smoothNoise(shape, 80 / spacing, random);
    const fine = smoothNoise(shape, Math.max(5 / spacing, 1), random);
    this.real = new Float32Array(voxels);
    this.imaginary = new Float32Array(voxels);
    for (let v = 0; v < voxels; v++) {
      this.factor[v] = (1 + BIAS * this.factor[v]) * (1 + texture * fine[v]);
      this.real[v] = random.normal(0, noise);
      this.imaginary[v] = random.normal(0, noise);
    }
    this.gain = 1000 * random.uniform(0.85, 1.15);
  }

  /** The scanned signal in whole numbers: about 1000 where the signal was 1, never more than an int16 holds. */
  scan(signal: Float32Array): Float32Array {
    const { factor, real, imaginary, gain } = this;
    const out = new Float32Array(signal.length);
    for (let v = 0; v < out.length; v++) {
      const a = signal[v] * factor[v] + real[v];
      const b = imaginary[v];
      out[v] = Math.min(32767, Math.round(gain * Math.sqrt(a * a + b * b)));
    }
    return out;
  }
}
