/** Dice 2 |A and B| / (|A| + |B|) of two masks, voxels that are not 0; null where both are empty. */
export function diceOverlap(a: ArrayLike<number>, b: ArrayLike<number>): number | null {
  let both = 0;
  let sum = 0;
  for (let v = 0; v < a.length; v++) {
    const inA = a[v] === 0 ? 0 : 1;
    const inB = b[v] === 0 ? 0 : 1;
    both += inA & inB;
    sum += inA + inB;
  }
  return sum === 0 ? null : (2 * both) / sum;
}
