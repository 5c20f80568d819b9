// Whether loss curves agree: two engines from one seed may differ as much as one engine from two seeds does.

/** Steps over which a curve is averaged before it is compared: the loss of one batch says little. */
const WINDOW = 10;

/** Mean of each step and those just before it. @param {number[]} losses */
export function smoothed(losses, window = WINDOW) {
  return losses.map((_, at) => {
    const part = losses.slice(Math.max(0, at + 1 - window), at + 1);
    return part.reduce((a, b) => a + b, 0) / part.length;
  });
}

/** Mean absolute difference of two smoothed curves over the steps that both have; NaN where there is none. */
export function distance(a, b, window = WINDOW) {
  const [x, y] = [smoothed(a, window), smoothed(b, window)];
  const steps = Math.min(x.length, y.length);
  let sum = 0;
  for (let i = 0; i < steps; i++) sum += Math.abs(x[i] - y[i]);
  return sum / steps;
}

/**
 * @param {{ engine: string, precision: string, seed: number, losses: number[] }[]} curves
 * @returns the spread of the reference's seeds (the mean distance of its curves), and of every other engine the largest
 * distance from the reference's curve of the same seed; undefined where the reference has fewer than two seeds
 */
export function agreementOfCurves(curves, reference = 'wasm') {
  const named = ({ engine, precision }) => (engine === 'webgpu' ? `${engine}-${precision}` : engine);
  const own = curves.filter((curve) => named(curve) === reference);
  if (own.length < 2) return undefined;
  const pairs = own.flatMap((a, i) => own.slice(i + 1).map((b) => distance(a.losses, b.losses)));
  const spread = pairs.reduce((a, b) => a + b, 0) / pairs.length;
  const engines = {};
  for (const curve of curves) {
    const name = named(curve);
    const beside = own.find(({ seed }) => seed === curve.seed);
    if (name === reference || !beside) continue;
    const apart = distance(curve.losses, beside.losses);
    const { largest = 0, seeds = 0 } = engines[name] ?? {};
    const worst = Number.isNaN(apart) ? NaN : Math.max(largest, apart);
    engines[name] = { seeds: seeds + 1, largest: worst, agrees: worst <= spread };
  }
  return { reference, seeds: own.length, spread, engines };
}
