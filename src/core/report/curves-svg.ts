import type { Results } from '../../protocol/results';

const WIDTH = 720;
const HEIGHT = 260;
const LEFT = 48;
const BOTTOM = 34;
const TOP = 12;
const RIGHT = 16;

/** Okabe & Ito's colours: told apart by people with any colour vision, on light and on dark. */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9'];

/** Learning curves as an inline SVG: one line per fold, validation dashed. */
export function curvesSvg(curves: Results['curves']): string {
  const epochs = Math.max(1, ...curves.map(({ loss }) => loss.length));
  const values = curves.flatMap(({ loss, validationLoss }) => [
    ...loss,
    ...validationLoss.filter((one) => one !== null),
  ]);
  if (values.length === 0) return '<p>No epoch was finished.</p>';
  const highest = Math.max(...values);
  const top = niceCeiling(highest);
  const x = (epoch: number): number => LEFT + ((WIDTH - LEFT - RIGHT) * epoch) / Math.max(1, epochs - 1);
  const y = (loss: number): number => HEIGHT - BOTTOM - ((HEIGHT - BOTTOM - TOP) * loss) / top;
  const path = (points: readonly (number | null)[]): string =>
    points
      .flatMap((loss, epoch) => (loss === null ? [] : [`${x(epoch).toFixed(1)},${y(loss).toFixed(1)}`]))
      .join(' ');
  const lines = curves.map(({ fold, loss, validationLoss }) => {
    const colour = COLOURS[fold % COLOURS.length];
    const dashed = validationLoss.some((one) => one !== null)
      ? `<polyline points="${path(validationLoss)}" fill="none" stroke="${colour}" stroke-width="1.5" stroke-dasharray="5 4"/>`
      : '';
    return `<polyline points="${path(loss)}" fill="none" stroke="${colour}" stroke-width="2"><title>fold ${fold + 1}</title></polyline>${dashed}`;
  });
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const at = y(share * top).toFixed(1);
    return `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at}" y2="${at}" stroke="currentColor" stroke-opacity=".12"/><text x="${LEFT - 8}" y="${at}" text-anchor="end" dominant-baseline="middle">${Number((share * top).toPrecision(3))}</text>`;
  });
  const every = Math.max(1, Math.ceil(epochs / 12));
  const numbers = Array.from({ length: epochs }, (_, epoch) => epoch)
    .filter((epoch) => epoch % every === 0)
    .map(
      (epoch) =>
        `<text x="${x(epoch).toFixed(1)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${epoch + 1}</text>`,
    );
  const legend = curves.map(
    ({ fold }, n) =>
      `<text x="${WIDTH - RIGHT - 4}" y="${TOP + 14 + 16 * n}" text-anchor="end" style="fill:${COLOURS[fold % COLOURS.length]}">fold ${fold + 1}</text>`,
  );
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Learning curves" style="max-width:${WIDTH}px;width:100%;font:12px system-ui,sans-serif;fill:currentColor">${ticks.join('')}${numbers.join('')}${lines.join('')}${legend.join('')}</svg>`;
}

/** The next of 1, 2, 5 x 10^n that holds the value. */
function niceCeiling(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ([1, 2, 5, 10].find((step) => step * power >= value) ?? 10);
}
