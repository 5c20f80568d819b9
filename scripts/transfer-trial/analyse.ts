import { clusterInterval } from '../../src/core/stats/cluster';
import { mean } from '../../src/core/stats/describe';
import { signFlipTest } from '../../src/core/stats/sign-flip';
import { describeStrategy } from '../../src/protocol/catalogue';
import type { CellRecord } from './cell-record';
import { curvesFile } from './curves-figure';
import {
  ARMS,
  CONDITIONS,
  HYPOTHESES,
  type Arm,
  type Condition,
  type Contrast,
  type Hypothesis,
} from './plan';

const SEED = 1;
/** A training loss under this counts as learned; a network that knows nothing has log 2 = 0.69. */
export const LEARNED_LOSS = 0.5;
/** Where no TL, trained to convergence, has to lie for a comparison to have room in both directions. */
const ROOM: readonly [number, number] = [0.6, 0.8];

export interface Estimate {
  readonly value: number | null;
  readonly low: number | null;
  readonly high: number | null;
  readonly n: number;
}

/** All seeds of one arm. */
export interface Row {
  readonly condition: Condition;
  readonly arm: Arm;
  readonly source: Contrast | null;
  readonly target: Contrast;
  readonly seeds: number;
  readonly folds: number;
  readonly heads: number;
  readonly accuracy: Estimate;
  readonly accuracyOfSeeds: readonly number[];
  readonly heat: Estimate;
  readonly zeroMaps: number;
  readonly nullP95: number | null;
  /** In how many of the seeds the mean Heat-Score exceeds its null. */
  readonly exceeds: number;
  readonly untrained: number | null;
  readonly epochs: number;
  /** Median epoch in which the training loss fell below {@link LEARNED_LOSS}, of the folds where it did, and how many did. */
  readonly learnedAt: number | null;
  readonly learned: { readonly folds: number; readonly of: number };
  readonly trainSeconds: number;
  readonly pretrainSeconds: number;
  readonly pretrainDice: number | null;
  readonly baseline: number | null;
}

export interface Difference {
  readonly mean: number;
  readonly low: number | null;
  readonly high: number | null;
  readonly p: number;
  readonly n: number;
  readonly heads: number;
}

/** Two arms on the same cases, folds and seeds. */
export interface Comparison {
  readonly condition: Condition;
  readonly source: Contrast;
  readonly target: Contrast;
  readonly arm: Arm;
  readonly against: Arm;
  readonly accuracy: Difference | null;
  readonly heat: Difference | null;
  /** The same with 0 for maps that are zero everywhere. */
  readonly heatZero: Difference | null;
}

export interface Verdict extends Hypothesis {
  readonly comparison: Comparison | null;
  /** Holm's correction over the hypotheses that were tested. */
  readonly adjusted: number | null;
  readonly verdict: 'supported' | 'contradicted' | 'not supported' | 'not tested';
}

export interface Analysis {
  readonly rows: readonly Row[];
  readonly comparisons: readonly Comparison[];
  readonly hypotheses: readonly Verdict[];
  readonly warnings: readonly string[];
}

/** Everything that the cells of a trial come to. */
export function analyse(cells: readonly CellRecord[]): Analysis {
  const rows = groupsOf(cells).map(rowOf);
  const comparisons = comparisonsOf(cells);
  return { rows, comparisons, hypotheses: verdictsOf(comparisons), warnings: warningsOf(rows) };
}

function keyOf({ condition, target, source, arm }: CellRecord): string {
  return [condition, target, source ?? '-', arm].join(' ');
}

function groupsOf(cells: readonly CellRecord[]): CellRecord[][] {
  const groups = new Map<string, CellRecord[]>();
  for (const cell of cells) groups.set(keyOf(cell), [...(groups.get(keyOf(cell)) ?? []), cell]);
  const conditions = Object.keys(CONDITIONS);
  const order = ([{ condition, target, source, arm }]: CellRecord[]): string =>
    [conditions.indexOf(condition), target, source ?? '', ARMS.indexOf(arm)].join(' ');
  return [...groups.values()].sort((a, b) => (order(a) < order(b) ? -1 : 1));
}

function rowOf(cells: readonly CellRecord[]): Row {
  const [{ condition, arm, source, target, folds, epochs }] = cells;
  const cases = cells.flatMap((cell) => cell.cases);
  const rights = cases.map((one) => ({ source: one.source, value: Number(isRight(one)) }));
  const heats = cases.flatMap(({ heat, source: head }) =>
    heat === undefined || heat === null ? [] : [{ source: head, value: heat }],
  );
  const curves = cells.flatMap((cell) => cell.curves);
  const learned = curves
    .map((curve) => curve.findIndex((loss) => loss < LEARNED_LOSS) + 1)
    .filter((epoch) => epoch > 0)
    .sort((a, b) => a - b);
  const nulls = cells.flatMap(({ heatNull }) => (heatNull === null ? [] : [heatNull]));
  const untrained = cells.flatMap((cell) => (cell.untrained === null ? [] : [cell.untrained]));
  const dice = cells.flatMap(({ pretrainDice }) => (pretrainDice === null ? [] : [pretrainDice]));
  const baselines = cells.flatMap(({ baseline }) => (baseline === null ? [] : [baseline]));
  return {
    ...{ condition, arm, source, target, folds, epochs },
    seeds: cells.length,
    heads: new Set(cases.map((one) => one.source)).size,
    accuracy: estimate(rights),
    accuracyOfSeeds: cells.map((cell) => mean(cell.cases.map((one) => Number(isRight(one))))),
    heat: estimate(heats),
    zeroMaps: cases.filter(({ heat }) => heat === null).length,
    nullP95: nulls.length === 0 ? null : mean(nulls.map(({ p95 }) => p95)),
    exceeds: nulls.filter(({ exceeds }) => exceeds).length,
    untrained: untrained.length === 0 ? null : mean(untrained),
    learnedAt: learned.length === 0 ? null : learned[Math.floor((learned.length - 1) / 2)],
    learned: { folds: learned.length, of: curves.length },
    trainSeconds: mean(cells.map(({ compute }) => compute.trainSeconds)),
    pretrainSeconds: mean(cells.map(({ compute }) => compute.pretrainSeconds)),
    pretrainDice: dice.length === 0 ? null : mean(dice),
    baseline: baselines.length === 0 ? null : mean(baselines),
  };
}

function isRight({ logits: [control, fcd], yTrue }: CellRecord['cases'][number]): boolean {
  return Number(fcd > control) === yTrue;
}

/** Mean with a 95 % bootstrap over heads: copies, twins and seeds of a head are not independent. */
function estimate(values: readonly { readonly source: string; readonly value: number }[]): Estimate {
  if (values.length === 0) return { value: null, low: null, high: null, n: 0 };
  const interval = clusterInterval(
    values,
    ({ source }) => source,
    (items) => (items.length === 0 ? null : mean(items.map(({ value }) => value))),
    { seed: SEED },
  );
  return {
    value: mean(values.map(({ value }) => value)),
    low: interval?.low ?? null,
    high: interval?.high ?? null,
    n: values.length,
  };
}

/** What is compared with what, in each condition and pair; the first is what hypotheses are about. */
const CONTRASTS_OF_ARMS: readonly (readonly [Arm, Arm])[] = [
  ['multi', 'none-compute'],
  ['single', 'none-compute'],
  ['multi', 'none'],
  ['multi', 'single'],
];

function comparisonsOf(cells: readonly CellRecord[]): Comparison[] {
  const pairs = new Map<string, { condition: Condition; source: Contrast; target: Contrast }>();
  for (const { condition, source, target } of cells)
    if (source !== null) pairs.set([condition, source, target].join(), { condition, source, target });
  return [...pairs.values()].flatMap((pair) =>
    CONTRASTS_OF_ARMS.map(([arm, against]): Comparison => {
      const of = (which: Arm): CellRecord[] =>
        cells.filter(
          (cell) =>
            cell.condition === pair.condition &&
            cell.target === pair.target &&
            cell.arm === which &&
            (cell.source === null || cell.source === pair.source),
        );
      const both = paired(of(arm), of(against));
      return {
        ...{ ...pair, arm, against },
        accuracy: difference(
          both.map(({ head, a, b }) => ({ head, value: Number(isRight(a)) - Number(isRight(b)) })),
        ),
        heat: difference(
          both.flatMap(({ head, a, b }) =>
            typeof a.heat === 'number' && typeof b.heat === 'number'
              ? [{ head, value: a.heat - b.heat }]
              : [],
          ),
        ),
        heatZero: difference(
          both.flatMap(({ head, a, b }) =>
            a.heat === undefined || b.heat === undefined
              ? []
              : [{ head, value: (a.heat ?? 0) - (b.heat ?? 0) }],
          ),
        ),
      };
    }),
  );
}

interface PairedCase {
  readonly head: string;
  readonly a: CellRecord['cases'][number];
  readonly b: CellRecord['cases'][number];
}

/** The same cases of the same seeds in two arms. */
function paired(arm: readonly CellRecord[], against: readonly CellRecord[]): PairedCase[] {
  return arm.flatMap(({ seed, cases }) => {
    const other = against.find((cell) => cell.seed === seed);
    if (other === undefined) return [];
    const byId = new Map(other.cases.map((one) => [one.id, one]));
    return cases.flatMap((a) => {
      const b = byId.get(a.id);
      return b === undefined ? [] : [{ head: a.source, a, b }];
    });
  });
}

/** Mean difference; p of sign flips head by head, interval of a bootstrap over heads. */
function difference(values: readonly { readonly head: string; readonly value: number }[]): Difference | null {
  const test = signFlipTest(
    values.map(({ value }) => value),
    { seed: SEED, clusters: values.map(({ head }) => head) },
  );
  if (test === null) return null;
  const { low, high } = estimate(values.map(({ head, value }) => ({ source: head, value })));
  return { mean: test.meanDifference, low, high, p: test.p, n: test.n, heads: test.clusters };
}

function verdictsOf(comparisons: readonly Comparison[]): Verdict[] {
  const found = HYPOTHESES.map((hypothesis) => {
    const comparison = comparisons.find(
      ({ condition, arm, against, accuracy }) =>
        condition === hypothesis.condition &&
        arm === 'multi' &&
        against === 'none-compute' &&
        accuracy !== null,
    );
    return { hypothesis, comparison: comparison ?? null };
  });
  const adjusted = holm(found.map(({ comparison }) => comparison?.accuracy?.p ?? null));
  return found.map(({ hypothesis, comparison }, at) => ({
    ...hypothesis,
    comparison,
    adjusted: adjusted[at],
    verdict: verdictOf(comparison?.accuracy ?? null, adjusted[at]),
  }));
}

function verdictOf(accuracy: Difference | null, p: number | null): Verdict['verdict'] {
  if (accuracy === null || p === null) return 'not tested';
  if (p >= 0.05) return 'not supported';
  return accuracy.mean > 0 ? 'supported' : 'contradicted';
}

/** Holm's step-down adjustment (1979); null stays null and counts for nothing. */
export function holm(values: readonly (number | null)[]): (number | null)[] {
  const order = values.flatMap((p, at) => (p === null ? [] : [{ p, at }])).sort((a, b) => a.p - b.p);
  const adjusted: (number | null)[] = values.map(() => null);
  let largest = 0;
  order.forEach(({ p, at }, rank) => {
    largest = Math.max(largest, Math.min(1, (order.length - rank) * p));
    adjusted[at] = largest;
  });
  return adjusted;
}

function warningsOf(rows: readonly Row[]): string[] {
  return rows
    .filter(({ arm }) => arm === 'none-compute')
    .flatMap(({ condition, target, accuracy: { value }, baseline }) => {
      const where = `${condition}, ${target}`;
      const said: string[] = [];
      if (value !== null && (value < ROOM[0] || value > ROOM[1]))
        said.push(
          `${where}: no TL with all compute reaches ${percent(value)}, outside of ${percent(ROOM[0])} to ${percent(ROOM[1])}, where a comparison has room in both directions.`,
        );
      if (value !== null && baseline !== null && baseline >= value)
        said.push(
          `${where}: the intensity threshold without any network reaches ${percent(baseline)}, no less than no TL: this task says little about networks.`,
        );
      return said;
    });
}

/** The tables as Markdown: figures of the cells, and nothing else. */
export function toMarkdown({ rows, comparisons, hypotheses, warnings }: Analysis): string {
  if (rows.length === 0) return 'No cell of the trial has been computed yet.\n';
  const parts: string[] = [];
  for (const condition of Object.keys(CONDITIONS) as Condition[]) {
    const mine = rows.filter((row) => row.condition === condition);
    if (mine.length === 0) continue;
    const [{ seeds, folds, heads }] = mine;
    parts.push(
      `### ${condition}: ${CONDITIONS[condition]}`,
      `${seeds} seeds, ${folds} folds by head, ${heads} heads. Intervals: 95 %, bootstrap over heads.`,
      table(
        [
          'strategy',
          'source → target',
          'epochs',
          'pre-training',
          'accuracy',
          'by seed',
          'Heat-Score roi/brain',
          'null (95th percentile)',
          'untrained',
          `loss < ${LEARNED_LOSS} in epoch`,
        ],
        mine.map(cellsOfRow),
      ),
    );
    const baselines = [...new Map(mine.map((row) => [row.target, row.baseline]))];
    parts.push(
      `Trivial baseline (maximum of the smoothed image, no network): ${baselines.map(([target, value]) => `${target} ${value === null ? 'not computed' : percent(value)}`).join(', ')}.`,
      table(
        ['comparison', 'source → target', 'accuracy', 'Heat-Score', 'Heat-Score, zero maps as 0'],
        comparisons
          .filter((one) => one.condition === condition)
          .map((one) => [
            `${nameOf(one.arm)} − ${nameOf(one.against)}`,
            `${one.source} → ${one.target}`,
            differenceText(one.accuracy, (value) => `${signed(100 * value, 1)} points`),
            differenceText(one.heat, (value) => signed(value, 2)),
            differenceText(one.heatZero, (value) => signed(value, 2)),
          ]),
      ),
    );
    const pairs = comparisons.filter((one) => one.condition === condition && one.arm === 'single');
    parts.push(
      ...pairs.map(
        ({ source, target }) =>
          `![Learning curves, ${condition}, ${source} to ${target}](${curvesFile(condition, source, target)})`,
      ),
    );
  }
  parts.push(
    '### The hypotheses',
    'Accuracy of TL from 23 tasks against no TL with the same compute; paired by case, signs flipped head by head, p by Holm over those that were tested.',
    table(
      ['', 'claim', 'difference', 'p (Holm)', 'verdict'],
      hypotheses.map(({ name, claim, comparison, adjusted, verdict }) => [
        name,
        claim,
        differenceText(comparison?.accuracy ?? null, (value) => `${signed(100 * value, 1)} points`),
        adjusted === null ? '' : pText(adjusted),
        verdict,
      ]),
    ),
  );
  if (warnings.length > 0)
    parts.push(['What limits these figures:', ...warnings.map((one) => `- ${one}`)].join('\n'));
  return parts.join('\n\n') + '\n';
}

function cellsOfRow(row: Row): string[] {
  const { accuracy, heat } = row;
  const pretraining =
    row.pretrainSeconds === 0
      ? 'none'
      : row.arm === 'none-compute'
        ? `none; the ${Math.round(row.pretrainSeconds)} processor s as epochs`
        : `${Math.round(row.pretrainSeconds)} processor s${row.pretrainDice === null ? '' : `, Dice ${row.pretrainDice.toFixed(2)}`}`;
  return [
    nameOf(row.arm),
    row.source === null ? row.target : `${row.source} → ${row.target}`,
    String(row.epochs),
    pretraining,
    accuracy.value === null ? '' : `${percent(accuracy.value)} ${range(accuracy, (value) => percent(value))}`,
    row.accuracyOfSeeds.map((value) => percent(value)).join(', '),
    heat.value === null
      ? 'no map'
      : `${heat.value.toFixed(2)} ${range(heat, (value) => value.toFixed(2))}, n ${heat.n}${row.zeroMaps > 0 ? `, ${row.zeroMaps} zero maps` : ''}`,
    row.nullP95 === null ? '' : `${row.nullP95.toFixed(2)}, exceeded in ${row.exceeds} of ${row.seeds}`,
    row.untrained === null ? '' : row.untrained.toFixed(2),
    row.learnedAt === null
      ? `in no fold of ${row.learned.of}`
      : `${row.learnedAt} (${row.learned.folds} of ${row.learned.of} folds)`,
  ];
}

function nameOf(arm: Arm): string {
  switch (arm) {
    case 'none':
      return 'no TL';
    case 'none-compute':
      return 'no TL, same compute';
    case 'single':
      return 'TL, one task';
    case 'multi':
      return describeStrategy('multi:23').replace('TL from ', 'TL, ').replace('segmentation ', '');
  }
}

function differenceText(value: Difference | null, show: (value: number) => string): string {
  if (value === null) return 'no pairs';
  const { mean: middle, low, high, p, n, heads } = value;
  const interval = low === null || high === null ? '' : ` [${show(low)}, ${show(high)}]`;
  return `${show(middle)}${interval}, p ${pText(p)}, n ${n} of ${heads} heads`;
}

function pText(p: number): string {
  return p < 0.001 ? '< 0.001' : p.toFixed(3);
}

function range({ low, high }: Estimate, show: (value: number) => string): string {
  return low === null || high === null ? '' : `[${show(low)}, ${show(high)}]`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function signed(value: number, digits: number): string {
  return `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(digits)}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

const BEGIN = '<!-- trial:begin -->';
const END = '<!-- trial:end -->';

/** Puts the tables between the marks of a page. @throws Error where the marks are not there */
export function intoPage(page: string, tables: string): string {
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`The page has no place for the tables: ${BEGIN} ... ${END}.`);
  return `${page.slice(0, from + BEGIN.length)}\n\n${tables}\n${page.slice(to)}`;
}
