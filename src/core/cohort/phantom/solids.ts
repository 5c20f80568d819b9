/** Signed distances in mm, negative inside; what the head is made of. */

/**
 * Distance to an ellipsoid around a centre: |p/r| (|p/r| - 1) / |p/r^2|, first order at the surface and of the right
 * sign everywhere.
 */
export function ellipsoid(
  x: number,
  y: number,
  z: number,
  centre: readonly [number, number, number],
  radii: readonly [number, number, number],
): number {
  const px = (x - centre[0]) / radii[0];
  const py = (y - centre[1]) / radii[1];
  const pz = (z - centre[2]) / radii[2];
  const unit = Math.sqrt(px * px + py * py + pz * pz);
  const qx = px / radii[0];
  const qy = py / radii[1];
  const qz = pz / radii[2];
  return (unit * (unit - 1)) / Math.max(Math.sqrt(qx * qx + qy * qy + qz * qz), 1e-9);
}

/** A bead of a {@link chain}: position and radius. */
export type Bead = readonly [x: number, y: number, z: number, radius: number];

/** Distance to a chain of round cones through beads: ventricles, caudate, hippocampus. */
export function chain(x: number, y: number, z: number, beads: readonly Bead[], swell = 1): number {
  let least = Infinity;
  for (let n = 1; n < beads.length; n++) {
    const [ax, ay, az, ar] = beads[n - 1];
    const [bx, by, bz, br] = beads[n];
    const dx = bx - ax;
    const dy = by - ay;
    const dz = bz - az;
    const along = ((x - ax) * dx + (y - ay) * dy + (z - az) * dz) / (dx * dx + dy * dy + dz * dz);
    const t = Math.min(1, Math.max(0, along));
    const ox = x - ax - t * dx;
    const oy = y - ay - t * dy;
    const oz = z - az - t * dz;
    const distance = Math.sqrt(ox * ox + oy * oy + oz * oz) - swell * (ar + t * (br - ar));
    if (distance < least) least = distance;
  }
  return least;
}

/** Union of two solids whose seam is rounded over about `radius` mm. */
export function blend(a: number, b: number, radius: number): number {
  const h = Math.max(radius - Math.abs(a - b), 0) / radius;
  return Math.min(a, b) - h * h * radius * 0.25;
}

/** Share of a voxel of size `voxel` on the inner side of a surface at signed distance `distance` (flat surface). */
export function cover(distance: number, voxel: number): number {
  const share = 0.5 - distance / voxel;
  return share < 0 ? 0 : share > 1 ? 1 : share;
}
