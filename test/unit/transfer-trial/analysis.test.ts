import { describe, expect, it } from 'vitest';
import { analyse, holm, intoPage, toMarkdown } from '../../../scripts/transfer-trial/analyse';
import { parseCell, type CellRecord } from '../../../scripts/transfer-trial/cell-record';
import { curvesByCompute, figuresOf } from '../../../scripts/transfer-trial/curves-figure';
import {
  cellsOf,
  furtherEpochs,
  HYPOTHESES,
  pairsNamed,
  REDUCED,
  trainingOf,
  type Arm,
  type Condition,
} from '../../../scripts/transfer-trial/plan';
import { parseTraining } from '../../../src/core/train/config';
import { trainingSeconds } from '../../../scripts/transfer-trial/pretraining';

const HEADS = 12;

/**
 * A cell of 12 heads with and without a lesion, in which the first heads are classified wrongly.
 * @param heat Heat-Score of a patient by head
 */
function cell(
  condition: Condition,
  arm: Arm,
  seed: number,
  wrongHeads: number,
  heat: (head: number) => number | null,
): CellRecord {
  const transferred = arm === 'single' || arm === 'multi';
  return {
    schema: 1,
    id: `${condition}-${arm}-${seed}`,
    ...{ condition, arm, seed, source: transferred ? 'T1w' : null, target: 'FLAIR' },
    ...{ network: 'n', training: 't', epochs: arm === 'none-compute' ? 20 : 14, folds: 2 },
    compute: { trainSeconds: 60, pretrainSeconds: arm === 'none' ? 0 : 30 },
    pretrainDice: transferred ? 0.81 : null,
    baseline: 0.55,
    layer: 'layer4',
    heatNull: { p95: 1.2, mean: 1, exceeds: arm === 'multi' },
    untrained: 1.05,
    cases: Array.from({ length: HEADS }, (_, head) =>
      ([0, 1] as const).map((yTrue) => {
        const says = head < wrongHeads ? 1 - yTrue : yTrue;
        return {
          ...{ id: `h${head}-${yTrue}`, source: `h${head}`, yTrue },
          logits: (says === 1 ? [0, 2] : [2, 0]) as [number, number],
          ...(yTrue === 1 && { heat: heat(head) }),
        };
      }),
    ).flat(),
    curves: [
      [0.7, 0.6, 0.45],
      [0.7, 0.69, arm === 'multi' ? 0.3 : 0.68],
    ],
  };
}

/** 23 tasks are right where no TL is wrong, in eight of twelve heads, and their maps are hotter. */
function trial(condition: Condition): CellRecord[] {
  return [1, 2].flatMap((seed) => [
    cell(condition, 'none', seed, 9, (head) => (head === 0 ? null : 1.5)),
    cell(condition, 'none-compute', seed, 8, (head) => (head === 0 ? null : 2)),
    cell(condition, 'single', seed, 8, () => 2),
    cell(condition, 'multi', seed, 0, (head) => 2.5 + 0.01 * head),
  ]);
}

describe('the analysis of a trial', () => {
  const { rows, comparisons, hypotheses, warnings } = analyse([...trial('base'), ...trial('few')]);

  it('has a row for each arm: accuracy, Heat-Score with its null, epochs, compute', () => {
    expect(rows.map(({ condition, arm }) => `${condition} ${arm}`)).toEqual(
      ['base', 'few'].flatMap((one) =>
        ['none', 'none-compute', 'single', 'multi'].map((arm) => `${one} ${arm}`),
      ),
    );
    const multi = rows.find(({ condition, arm }) => condition === 'base' && arm === 'multi')!;
    expect(multi).toMatchObject({ seeds: 2, heads: 12, exceeds: 2, pretrainDice: 0.81, baseline: 0.55 });
    expect(multi.accuracy).toEqual({ value: 1, low: 1, high: 1, n: 48 });
    expect(multi.heat).toMatchObject({ n: 24 });
    expect(multi.learned).toEqual({ folds: 4, of: 4 });
    const none = rows.find(({ condition, arm }) => condition === 'base' && arm === 'none-compute')!;
    expect(none.accuracy.value).toBeCloseTo(4 / 12);
    expect(none).toMatchObject({ zeroMaps: 2, learnedAt: 3, learned: { folds: 2, of: 4 }, epochs: 20 });
    expect(none.accuracyOfSeeds).toHaveLength(2);
  });

  it('compares the same cases of the same seeds, and takes heads, not their copies, as independent', () => {
    const found = comparisons.find(
      ({ condition, arm, against }) => condition === 'base' && arm === 'multi' && against === 'none-compute',
    )!;
    // Eight heads of twelve, all their cases in both seeds, differ by 1.
    expect(found.accuracy).toMatchObject({ n: 48, heads: 12 });
    expect(found.accuracy!.mean).toBeCloseTo(8 / 12);
    // Signs of eight heads flipped: the two extreme of 2^8. Were cases independent, p would be about 2^-31.
    expect(found.accuracy!.p).toBeCloseTo(2 / 2 ** 8, 10);
    expect(found.heat!.n).toBe(22);
    expect(found.heatZero!.n).toBe(24);
    expect(found.heatZero!.mean).toBeGreaterThan(found.heat!.mean);
  });

  it('judges the hypotheses that were written down, those that were not computed not at all', () => {
    expect(hypotheses.map(({ name, verdict }) => [name, verdict])).toEqual([
      ['H1', 'supported'],
      ['H2', 'not tested'],
      ['H3', 'not tested'],
      ['H4', 'not tested'],
    ]);
    const swapped = analyse(
      trial('hard').map((one) => ({
        ...one,
        ...(one.arm === 'multi' && { arm: 'none-compute' as const, source: null }),
        ...(one.arm === 'none-compute' && { arm: 'multi' as const, source: 'T1w' as const }),
      })),
    );
    expect(swapped.hypotheses.map(({ verdict }) => verdict)).toEqual([
      ...['not tested', 'contradicted', 'not tested', 'not tested'],
    ]);
    const same = trial('hard').filter(({ arm }) => arm === 'none-compute');
    const both = [...same, ...same.map((one) => ({ ...one, arm: 'multi' as const, source: 'T1w' as const }))];
    expect(analyse(both).hypotheses[1]).toMatchObject({ verdict: 'not supported', adjusted: 1 });
    expect(HYPOTHESES.length).toBeLessThanOrEqual(4);
  });

  it('says where a task leaves no room or a threshold does as well', () => {
    expect(warnings).toHaveLength(4);
    expect(warnings[0]).toMatch(
      /base, FLAIR: no TL with all compute reaches 33.3 %, outside of 60.0 % to 80.0 %/,
    );
    expect(warnings[1]).toMatch(/the intensity threshold without any network reaches 55.0 %/);
  });

  it('becomes tables between the marks of a page, and only there', () => {
    const markdown = toMarkdown(analyse(trial('base')));
    expect(markdown).toContain('### base');
    expect(markdown).toContain('TL, 23 tasks − no TL, same compute');
    expect(markdown).toMatch(
      /\| no TL, same compute \| FLAIR \| 20 \| none; the 30 processor s as epochs \| 33.3 % \[/,
    );
    expect(markdown).toMatch(/H1 .*\| no pairs \|  \| not tested \|/);
    const page = 'a\n<!-- trial:begin -->\nold tables\n<!-- trial:end -->\nz\n';
    const made = intoPage(page, markdown);
    expect(made).toContain(markdown);
    expect(made).not.toContain('old tables');
    expect(intoPage(made, markdown)).toBe(made);
    expect(() => intoPage('no marks', markdown)).toThrow(/no place for the tables/);
    expect(toMarkdown(analyse([]))).toMatch(/No cell/);
  });

  it('draws learning curves by compute: a transferred network begins after its pre-training', () => {
    const [none, multi] = ['none', 'multi'].map(
      (arm) => curvesByCompute(trial('base').filter((one) => one.arm === arm))[0].points,
    );
    // 60 s of two folds of 14 epochs each; 30 s of pre-training.
    expect(none.map(({ compute }) => compute)).toEqual([1, 2, 3].map((epoch) => (60 / 28) * epoch));
    expect(multi[0].compute).toBeCloseTo(30 + 60 / 28);
    expect(none[2]).toMatchObject({ low: 0.45, high: 0.68 });
    expect(none[2].middle).toBeCloseTo((0.45 + 0.68) / 2);
    const [{ file, svg }] = figuresOf(trial('base'));
    expect(toMarkdown(analyse(trial('base')))).toContain(`](${file})`);
    expect(svg.match(/<polyline/g)).toHaveLength(4);
  });

  it("corrects as Holm's method does", () => {
    expect(holm([0.01, 0.04, null, 0.03])).toEqual([0.03, 0.06, null, 0.06]);
    expect(holm([0.6, 0.5])).toEqual([1, 1]);
  });
});

describe('the plan of a trial', () => {
  it('has every arm in every seed; those that another one needs come first', () => {
    const cells = cellsOf(REDUCED);
    expect(cells).toHaveLength(REDUCED.seeds.length * (2 + 2 * REDUCED.pairs.length));
    expect(new Set(cells.map(({ id }) => id)).size).toBe(cells.length);
    for (const one of cells.filter(({ arm }) => arm === 'none-compute')) {
      const needed = cells.findIndex(({ id }) => id === one.id.replace('none-compute', 'none'));
      expect(needed).toBeGreaterThanOrEqual(0);
      expect(needed).toBeLessThan(cells.indexOf(one));
    }
    expect(cellsOf({ ...REDUCED, conditions: ['few'] })[0].cohort.subjects).toBe(40);
    expect(cellsOf({ ...REDUCED, conditions: ['hard'] })[0].cohort.difficulty).toBe(1);
    expect(cellsOf({ ...REDUCED, conditions: ['deep'] })[0]).toMatchObject({
      arch: 'resnet34',
      width: '1/8',
    });
  });

  it('reads pairs of modalities, and trains by a configuration that fcd takes', () => {
    expect(pairsNamed('FLAIR, T1w>FLAIR')).toEqual([
      { source: 'FLAIR', target: 'FLAIR' },
      { source: 'T1w', target: 'FLAIR' },
    ]);
    expect(() => pairsNamed('T2w>FLAIR')).toThrow(/no pair/);
    expect(parseTraining(trainingOf(3), 'plan')).toMatchObject({ epochs: 3, twinBatches: true });
  });

  it('adds the compute of the pre-training as epochs', () => {
    expect(furtherEpochs(30, 4)).toBe(8);
    expect(furtherEpochs(1, 4)).toBe(1);
  });

  it('counts what the processor did in training, not the time in which a run stood still', () => {
    const at = (processorSeconds: number | undefined, event: object): string =>
      JSON.stringify({ time: new Date().toISOString(), processorSeconds, ...event });
    const epoch = { type: 'epoch', loss: 1, validationLoss: null, validationAccuracy: null, best: false };
    const log = [
      at(2, { type: 'started', epochs: 2, stepsPerEpoch: 1 }),
      at(7, { ...epoch, epoch: 0 }),
      at(9, { type: 'stopped', epoch: 1, step: 0 }),
      at(3, { type: 'resumed', epoch: 1, step: 0 }),
      at(9, { ...epoch, epoch: 1 }),
      at(90, { type: 'finished', epochs: 2, seconds: 1 }),
    ];
    expect(trainingSeconds(log.join('\n') + '\n')).toBe(11);
    const older = at(undefined, { type: 'started', epochs: 2, stepsPerEpoch: 1 });
    expect(() => trainingSeconds(older + '\n')).toThrow(/no processor times/);
  });
});

describe('the record of a cell', () => {
  it('is checked when it is read', () => {
    const [one] = trial('base');
    expect(parseCell(one, 'x.json')).toEqual(one);
    expect(() => parseCell({ ...one, arm: 'some' }, 'x.json')).toThrow(/x.json is not valid at arm/);
    const [first, ...rest] = one.cases;
    expect(() => parseCell({ ...one, cases: [{ ...first, logits: [1] }, ...rest] }, 'x.json')).toThrow(
      /cases.0/,
    );
  });
});
