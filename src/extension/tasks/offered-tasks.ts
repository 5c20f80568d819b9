import { describeStrategy, type Catalogue } from '../../protocol/catalogue';
import { weightsFor } from './shipped-weights';
import type { FcdTaskDefinition } from './task-definition';

/** A task that is offered without being written into tasks.json. */
export interface OfferedTask {
  readonly name: string;
  readonly detail: string;
  readonly definition: FcdTaskDefinition;
}

const DEPTHS = ['resnet18', 'resnet34', 'resnet50'] as const;
const CONTRASTS = ['T1w', 'FLAIR'] as const;
/**
 * What can be done with the cohorts and results of a folder; all paths are relative to it.
 * @param finished runs and experiments that have results
 * @param catalogue the weights that come with the extension
 * @param segmentable files that name structures to segment
 */
export function offeredTasks(
  cohorts: readonly string[],
  finished: readonly string[],
  catalogue: Catalogue = [],
  segmentable: readonly string[] = [],
): OfferedTask[] {
  return [
    ...cohorts.flatMap((cohort) => [
      offer(
        `train on ${cohort}`,
        'One fit: ResNet-18 on FLAIR, fold 1 of 5 held out, then its predictions, class maps and Heat-Scores',
        { task: 'train', cohort, arch: 'resnet18', modality: 'FLAIR', strategy: 'none', fold: '1/5' },
      ),
      ...cells(cohort, catalogue),
    ]),
    ...segmentable.map((tasks) =>
      offer(
        `pre-train on ${tasks}`,
        'An encoder learns to segment all its structures; Dice is measured on fold 1 of 5, which it does not see',
        { task: 'pretrain', tasks, arch: 'resnet18', fold: '1/5' },
      ),
    ),
    ...finished.map((run) =>
      offer(`report of ${run}`, 'One HTML page: figures, tables, the best and the worst localised cases', {
        task: 'report',
        run,
      }),
    ),
  ];
}

/** Where a cell's weights come from: nowhere, or from what the catalogue has for its depth. */
function strategies(
  arch: string,
  catalogue: Catalogue,
): { readonly name: string; readonly rest: Pick<FcdTaskDefinition, 'strategy' | 'grid'> }[] {
  return [
    { name: 'no transfer', rest: { strategy: 'none' } },
    // Shipped weights are those of the small grid's networks.
    ...weightsFor(arch, catalogue).map(({ strategy }) => ({
      name: describeStrategy(strategy),
      rest: { strategy, grid: 'small' as const },
    })),
  ];
}

/** The study's grid: every depth, contrast and strategy, each a cross-validation. */
function cells(cohort: string, catalogue: Catalogue): OfferedTask[] {
  return DEPTHS.flatMap((arch) =>
    CONTRASTS.flatMap((modality) =>
      strategies(arch, catalogue).map(({ name, rest }) =>
        offer(
          `experiment on ${cohort}: ${arch}, ${modality}, ${name}`,
          'Cross-validation with 5 folds and a report; running it again goes on where it stopped',
          { task: 'experiment', cohort, arch, modality, ...rest, folds: 5 },
        ),
      ),
    ),
  );
}

function offer(name: string, detail: string, rest: Omit<FcdTaskDefinition, 'type'>): OfferedTask {
  return { name, detail, definition: { type: 'fcd', ...rest } };
}
