import type { Random } from '../../random';

const WAVES = 14;

/**
 * Where the sulci run: zero crossings of a sum of plane waves of one wavelength and random directions. Such a field is
 * statistically alike everywhere, and its zero sheets lie about half a wavelength apart and wind like gyri do.
 */
export class FoldingPattern {
  private readonly kx = new Float64Array(WAVES);
  private readonly ky = new Float64Array(WAVES);
  private readonly kz = new Float64Array(WAVES);
  private readonly phase = new Float64Array(WAVES);
  private readonly wavenumber: number;

  /** @param flatten 0..1: 1 makes the sheets run left to right only (the leaves of the cerebellum) */
  constructor(random: Random, wavelength: number, flatten = 0) {
    this.wavenumber = (2 * Math.PI) / wavelength;
    for (let n = 0; n < WAVES; n++) {
      const x = random.normal() * (1 - flatten);
      const y = random.normal();
      const z = random.normal();
      const k = (this.wavenumber * random.uniform(0.85, 1.15)) / Math.max(Math.hypot(x, y, z), 1e-6);
      this.kx[n] = k * x;
      this.ky[n] = k * y;
      this.kz[n] = k * z;
      this.phase[n] = random.uniform(0, 2 * Math.PI);
    }
  }

  /**
   * Distance in mm from a point to the nearest sulcal sheet, when the pattern of the surface is carried inward along
   * straight lines to `centre`: the sheets stand upright on the surface.
   *
   * @param stretch how far out the surface lies, as a multiple of the point's distance from the centre (>= 1)
   */
  distance(
    x: number,
    y: number,
    z: number,
    centre: readonly [number, number, number],
    stretch: number,
  ): number {
    const { kx, ky, kz, phase } = this;
    const rx = x - centre[0];
    const ry = y - centre[1];
    const rz = z - centre[2];
    const sx = centre[0] + stretch * rx;
    const sy = centre[1] + stretch * ry;
    const sz = centre[2] + stretch * rz;
    let value = 0;
    let gx = 0;
    let gy = 0;
    let gz = 0;
    for (let n = 0; n < WAVES; n++) {
      const angle = kx[n] * sx + ky[n] * sy + kz[n] * sz + phase[n];
      const sine = Math.sin(angle);
      value += Math.cos(angle);
      gx -= kx[n] * sine;
      gy -= ky[n] * sine;
      gz -= kz[n] * sine;
    }
    // Along the line to the centre the pattern does not change: only the sideways slope counts.
    const squared = Math.max(rx * rx + ry * ry + rz * rz, 1e-6);
    const radial = (gx * rx + gy * ry + gz * rz) / squared;
    gx -= radial * rx;
    gy -= radial * ry;
    gz -= radial * rz;
    const slope = Math.sqrt(gx * gx + gy * gy + gz * gz);
    // For a single plane wave this is exact: arctan(k tan(k d) / k) / k = d.
    return Math.atan2(this.wavenumber * Math.abs(value), slope) / (this.wavenumber * stretch);
  }
}
