import { InputError } from '../errors';
import { Random } from '../random';
import { GROUPS, type Case, type Fold, type Group } from './cohort';
import { grouped } from './grouped';

type FoldCase = Pick<Case, 'participantId' | 'group' | 'source'>;

/** All cases of one source: they are never torn apart. */
interface Source {
  readonly name: string;
  readonly ids: readonly string[];
  readonly count: Readonly<Record<Group, number>>;
}

/**
 * Splits cases into `count` folds; each case is tested once. Every fold has both groups, as evenly as the sources allow
 * (of sources with one case each, no two folds differ by more than one case in either group or in all), and all cases of
 * a source share a fold. The same seed gives the same folds whatever the order of the cases. Ids within a fold are
 * sorted. Throws where a group has fewer sources than there are folds.
 */
export function stratifiedFolds(cases: readonly FoldCase[], count: number, seed: number): Fold[] {
  if (!Number.isInteger(count) || count < 2)
    throw new InputError(`A cross-validation needs a whole number of at least 2 folds, not ${count}.`);
  const sources = shuffledSources(cases, Random.seeded(seed, 'folds', count));
  requireSources(sources, count, `${count} folds`);
  const total = casesPerGroup(sources);
  const tests = Array.from({ length: count }, () => ({ ids: [] as string[], count: { control: 0, fcd: 0 } }));
  for (const source of mixedAndLargeFirst(sources)) {
    const imbalance = (fold: (typeof tests)[number]): number =>
      GROUPS.reduce(
        // By how much the sum over folds of (share of the group)^2 grows: least where the group is rarest so far.
        (sum, group) =>
          sum + (source.count[group] * (2 * fold.count[group] + source.count[group])) / total[group] ** 2,
        0,
      );
    const fold = tests.reduce((best, other) => {
      const gain = imbalance(other) - imbalance(best);
      return gain < 0 || (gain === 0 && other.ids.length < best.ids.length) ? other : best;
    });
    fold.ids.push(...source.ids);
    for (const group of GROUPS) fold.count[group] += source.count[group];
  }
  const all = cases.map(({ participantId }) => participantId).sort();
  return tests.map(({ ids }, index) => {
    const test = new Set(ids);
    return { index, count, train: all.filter((id) => !test.has(id)), test: ids.sort() };
  });
}

export interface InnerSplit {
  readonly train: readonly string[];
  readonly validation: readonly string[];
}

/**
 * Sets a share of the cases (0 < fraction < 1) aside for early stopping, by source and stratified by group; both parts
 * have both groups. Deterministic like {@link stratifiedFolds}. Throws where a group has fewer than two sources.
 */
export function innerSplit(cases: readonly FoldCase[], fraction: number, seed: number): InnerSplit {
  if (!(fraction > 0 && fraction < 1))
    throw new InputError(`The share set aside for validation lies between 0 and 1, not at ${fraction}.`);
  const sources = shuffledSources(cases, Random.seeded(seed, 'inner split'));
  requireSources(sources, 2, 'a training and a validation part');
  const total = casesPerGroup(sources);
  const chosen = new Set<Source>();
  const held = { control: 0, fcd: 0 };
  const take = (source: Source): void => {
    chosen.add(source);
    for (const group of GROUPS) held[group] += source.count[group];
  };
  /** Whether the training part keeps both groups without this source. */
  const spare = (source: Source): boolean =>
    GROUPS.every((group) => total[group] - held[group] - source.count[group] > 0);
  const distance = (added?: Source): number =>
    GROUPS.reduce(
      (sum, group) => sum + ((held[group] + (added?.count[group] ?? 0)) / total[group] - fraction) ** 2,
      0,
    );
  for (const source of mixedAndLargeFirst(sources))
    if (spare(source) && distance(source) < distance()) take(source);
  for (const group of GROUPS) {
    if (held[group] > 0) continue;
    // With two sources for each group there is always one to spare.
    const source = sources.find((one) => one.count[group] > 0 && spare(one));
    if (source !== undefined) take(source);
  }
  const idsOf = (part: readonly Source[]): string[] => part.flatMap(({ ids }) => ids).sort();
  return {
    train: idsOf(sources.filter((source) => !chosen.has(source))),
    validation: idsOf([...chosen]),
  };
}

function shuffledSources(cases: readonly FoldCase[], random: Random): Source[] {
  const twice = [...grouped(cases, ({ participantId }) => participantId)].find(([, same]) => same.length > 1);
  if (twice !== undefined)
    throw new InputError(`Participant ${twice[0]} occurs ${twice[1].length} times among the cases to split.`);
  const sources = [...grouped(cases, ({ source }) => source)].map(([name, members]) => {
    const inGroup = (group: Group): number => members.filter((one) => one.group === group).length;
    return {
      name,
      ids: members.map(({ participantId }) => participantId),
      count: { control: inGroup('control'), fcd: inGroup('fcd') },
    };
  });
  return random.shuffled(sources.sort((a, b) => (a.name < b.name ? -1 : 1)));
}

/**
 * Sources with both groups come first: dealt first, each goes to a fold without any, so that every fold is sure to get
 * both groups. Then group by group, large ones before small ones, which can even out what the large ones left.
 */
function mixedAndLargeFirst(sources: readonly Source[]): Source[] {
  const rank = ({ count }: Source): number =>
    count.control > 0 && count.fcd > 0 ? 0 : count.control > 0 ? 1 : 2;
  return [...sources].sort((a, b) => rank(a) - rank(b) || b.ids.length - a.ids.length);
}

function casesPerGroup(sources: readonly Source[]): Record<Group, number> {
  const sum = (group: Group): number => sources.reduce((total, { count }) => total + count[group], 0);
  return { control: sum('control'), fcd: sum('fcd') };
}

function requireSources(sources: readonly Source[], least: number, what: string): void {
  for (const group of GROUPS) {
    const having = sources.filter(({ count }) => count[group] > 0).length;
    if (having < least)
      throw new InputError(
        `${what} need at least ${least} sources with ${group} cases, one for each; there ${having === 1 ? 'is 1' : `are ${having}`}. Use fewer folds or a larger cohort.`,
      );
  }
}
