// Whether loss curves agree: two engines from one seed may differ as much as one engine from two seeds does.

/** Steps over whose losses a curve is averaged before it is compared: batches differ. */
export const WINDOW = 20;

/** Means over `window` neighbouring steps, or over all where there are fewer. @param {readonly number[]} losses */
export function smoothed(losses, window = WINDOW) {
  const width = Math.min(window, losses.length);
  return Array.from(
    { length: losses.length - width + 1 },
    (_, i) => losses.slice(i, i + width).reduce((a, b) => a + b, 0) / width,
  );
}

/** Root mean square of the difference of two smoothed curves, over the steps that both have; NaN where there is none. */
export function distance(a, b, window = WINDOW) {
  const steps = Math.min(a.length, b.length);
  const [x, y] = [a, b].map((losses) => smoothed(losses.slice(0, steps), window));
  return Math.sqrt(x.reduce((sum, loss, i) => sum + (loss - y[i]) ** 2, 0) / x.length);
}

/**
 * @param {readonly { engine: string, seed: number, losses: readonly number[] }[]} curves
 * @returns the smallest distance of two curves of the reference, and of each other engine the largest distance from the
 * reference's curve of the same seed; undefined where the reference has fewer than two seeds
 */
export function agreementOf(curves, reference = 'wasm') {
  const own = curves.filter(({ engine }) => engine === reference);
  if (own.length < 2) return undefined;
  const pairs = own.flatMap((a, i) => own.slice(i + 1).map((b) => distance(a.losses, b.losses)));
  const spread = Math.min(...pairs);
  const others = [...new Set(curves.map(({ engine }) => engine))].filter((engine) => engine !== reference);
  const engines = others.flatMap((engine) => {
    const distances = curves
      .filter((curve) => curve.engine === engine)
      .flatMap((curve) => {
        const beside = own.find(({ seed }) => seed === curve.seed);
        return beside ? [distance(curve.losses, beside.losses)] : [];
      });
    if (distances.length === 0) return [];
    // Math.max keeps NaN: a curve that is no number any more agrees with nothing.
    const apart = Math.max(...distances);
    return [{ engine, seeds: distances.length, apart, agrees: apart < spread }];
  });
  return { reference, seeds: own.length, spread, engines };
}
