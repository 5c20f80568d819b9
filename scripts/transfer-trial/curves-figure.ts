import { quantile } from '../../src/core/stats/describe';
import type { CellRecord } from './cell-record';
import type { Arm, Condition, Contrast } from './plan';

const WIDTH = 760;
const HEIGHT = 300;
const LEFT = 56;
const RIGHT = 16;
const TOP = 40;
const BOTTOM = 44;
/** The loss of a network that gives both classes the same probability. */
const CHANCE = Math.log(2);

/** Okabe & Ito's colours. No TL is told from its longer version by width: the one is the beginning of the other. */
const STYLE: Readonly<
  Record<Arm, { readonly colour: string; readonly width: number; readonly name: string }>
> = {
  none: { colour: '#000000', width: 1.5, name: 'no TL' },
  'none-compute': { colour: '#0072b2', width: 2.5, name: 'no TL, same compute' },
  single: { colour: '#e69f00', width: 2.5, name: 'TL, one task' },
  multi: { colour: '#d55e00', width: 2.5, name: 'TL, 23 tasks' },
};

/** A median and the middle half of the folds of all seeds, by compute. */
export interface Curve {
  readonly arm: Arm;
  readonly points: readonly {
    /** Processor seconds since the first step, that of the pre-training included. */
    readonly compute: number;
    readonly low: number;
    readonly middle: number;
    readonly high: number;
  }[];
}

/** Learning curves of one condition and pair; transferred networks begin after the compute of their pre-training. */
export function curvesByCompute(cells: readonly CellRecord[]): Curve[] {
  const arms = [...new Set(cells.map(({ arm }) => arm))];
  return arms.map((arm) => {
    const mine = cells.filter((cell) => cell.arm === arm);
    const folds = mine.flatMap(({ curves }) => curves);
    const perEpoch = quantile(
      mine.map(({ compute, folds: n, epochs }) => compute.trainSeconds / (n * epochs)),
      0.5,
    );
    const before =
      arm === 'single' || arm === 'multi'
        ? quantile(
            mine.map(({ compute }) => compute.pretrainSeconds),
            0.5,
          )
        : 0;
    const epochs = Math.min(...folds.map((loss) => loss.length));
    const points = Array.from({ length: epochs }, (_, epoch) => {
      const losses = folds.map((loss) => loss[epoch]);
      return {
        compute: before + (epoch + 1) * perEpoch,
        low: quantile(losses, 0.25),
        middle: quantile(losses, 0.5),
        high: quantile(losses, 0.75),
      };
    });
    return { arm, points };
  });
}

/** The curves as an SVG of its own, on white: pages show it in light and dark. */
export function curvesFigure(
  condition: Condition,
  source: Contrast,
  target: Contrast,
  curves: readonly Curve[],
): string {
  const all = curves.flatMap(({ points }) => points);
  const longest = Math.max(...all.map(({ compute }) => compute));
  const top = Math.max(CHANCE, ...all.map(({ high }) => high)) * 1.05;
  const x = (compute: number): string => (LEFT + ((WIDTH - LEFT - RIGHT) * compute) / longest).toFixed(1);
  const y = (loss: number): string => (HEIGHT - BOTTOM - ((HEIGHT - BOTTOM - TOP) * loss) / top).toFixed(1);
  const bands = curves.map(({ arm, points }) => {
    const edge = [
      ...points.map(({ compute, high }) => `${x(compute)},${y(high)}`),
      ...[...points].reverse().map(({ compute, low }) => `${x(compute)},${y(low)}`),
    ];
    return `<polygon points="${edge.join(' ')}" fill="${STYLE[arm].colour}" fill-opacity=".13"/>`;
  });
  const lines = curves.map(({ arm, points }) => {
    const { colour, width, name } = STYLE[arm];
    const path = points.map(({ compute, middle }) => `${x(compute)},${y(middle)}`).join(' ');
    return `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="${width}"><title>${name}</title></polyline>`;
  });
  const grid = [0, 0.2, 0.4, 0.6, 0.8]
    .filter((loss) => loss <= top)
    .map(
      (loss) =>
        `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(loss)}" y2="${y(loss)}" stroke="#ddd"/><text x="${LEFT - 8}" y="${y(loss)}" text-anchor="end" dominant-baseline="middle">${loss}</text>`,
    );
  const every = tickOf(longest);
  const seconds = Array.from({ length: Math.floor(longest / every) + 1 }, (_, n) => n * every).map(
    (at) => `<text x="${x(at)}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${at}</text>`,
  );
  const legend = curves.map(
    ({ arm }, n) =>
      `<text x="${LEFT + 8 + 170 * n}" y="${TOP - 10}" style="fill:${STYLE[arm].colour};font-weight:600">${STYLE[arm].name}</text>`,
  );
  const words = [
    `<text x="${LEFT}" y="14">${condition}, ${source} → ${target}: training loss, median and middle half over folds and seeds</text>`,
    `<text x="${WIDTH - RIGHT}" y="${HEIGHT - 8}" text-anchor="end">processor seconds of a fold, pre-training included</text>`,
    `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(CHANCE)}" y2="${y(CHANCE)}" stroke="#888" stroke-dasharray="4 4"/>`,
    `<text x="${WIDTH - RIGHT - 4}" y="${Number(y(CHANCE)) - 5}" text-anchor="end" style="fill:#666">chance</text>`,
  ];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="system-ui, sans-serif" font-size="12"><rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>${[...grid, ...seconds, ...words, ...bands, ...lines, ...legend].join('')}</svg>\n`;
}

/** The file of a figure, below the page that shows it. */
export function curvesFile(condition: Condition, source: Contrast, target: Contrast): string {
  return `images/transfer-${condition}-${source}-to-${target}.svg`;
}

/** A figure for every condition and pair that transferred networks were trained in. */
export function figuresOf(cells: readonly CellRecord[]): { readonly file: string; readonly svg: string }[] {
  const pairs = new Map<string, { condition: Condition; source: Contrast; target: Contrast }>();
  for (const { condition, source, target } of cells)
    if (source !== null) pairs.set([condition, source, target].join(), { condition, source, target });
  return [...pairs.values()].map(({ condition, source, target }) => {
    const mine = cells.filter(
      (cell) =>
        cell.condition === condition &&
        cell.target === target &&
        (cell.source === null || cell.source === source),
    );
    return {
      file: curvesFile(condition, source, target),
      svg: curvesFigure(condition, source, target, curvesByCompute(mine)),
    };
  });
}

/** A round step that gives about six ticks. */
function tickOf(longest: number): number {
  const power = 10 ** Math.floor(Math.log10(longest / 6));
  return power * ([1, 2, 5, 10].find((step) => step * power * 6 >= longest * 0.8) ?? 10);
}
