import * as vscode from 'vscode';
import * as v from 'valibot';
import { isStrategyName } from '../../protocol/catalogue';
import type { CohortListing } from '../../protocol/compute';
import type { CohortCatalog } from '../cohort/cohort-catalog';
import { countsOf } from '../cohort/case-text';
import type { Compute } from '../compute/compute';
import { DEPTHS } from '../guide/depths';
import { wholeNumberFault } from '../guide/faults';
import { askFolds } from '../guide/folds';
import { Questions, askInTurn, named, wentBack, type Choice, type Step } from '../guide/questions';
import { startTask } from '../guide/start-task';
import { trusted } from '../settings/trust';
import { smallWidth } from '../tasks/command-line';
import { weightsFor, weightsRow, type ShippedWeights } from '../tasks/shipped-weights';
import type { RunningTask, TaskRunner } from '../tasks/task-runner';
import { atHand, modalityCounts } from './modality-counts';
import { answersSchema, FIRST_ANSWERS, remembered, taskOf, titleOf, type TrainAnswers } from './answers';

const MEMORY = 'fcd.train.answers';
const TITLE = 'Train FCD Model';
const BROWSE = '';

type Draft = Omit<TrainAnswers, 'cohort'> & { cohort: string | undefined };
type Asked = ReturnType<Step<Draft>>;

/** FCD: Train FCD Model: asks what to train, remembers it, and runs it as a task. */
export class TrainCommand implements vscode.Disposable {
  private readonly command: vscode.Disposable;
  private readonly steps: readonly Step<Draft>[];
  private readonly questions: Questions;
  /** Of the guide at hand, by the cohort's path. */
  private readonly listings = new Map<string, Promise<CohortListing>>();

  constructor(
    private readonly memory: vscode.Memento,
    private readonly catalog: CohortCatalog,
    private readonly compute: Compute,
    private readonly runner: TaskRunner,
    private readonly weights: ShippedWeights,
  ) {
    this.steps = [
      (draft, step) => this.askCohort(draft, step),
      (draft, step) => this.askModality(draft, step),
      (draft, step) => this.askDepth(draft, step),
      (draft, step) => this.askStrategy(draft, step),
      (draft, step) => this.askFolds(draft, step),
      (draft, step) => this.askGrid(draft, step),
      (draft, step) => this.askEpochs(draft, step),
    ];
    this.questions = new Questions(TITLE, this.steps.length);
    this.command = vscode.commands.registerCommand('fcd.trainModel', (answers?: unknown) =>
      this.train(answers),
    );
  }

  dispose(): void {
    this.command.dispose();
  }

  /**
   * @param given answers, where a keybinding or another extension knows them already: nothing is asked then
   * @returns the task that was started
   */
  private async train(given?: unknown): Promise<RunningTask | undefined> {
    if (!(await trusted(TITLE))) return undefined;
    const answers = v.is(answersSchema, given) ? given : await this.ask(remembered(given));
    if (!answers) return undefined;
    await this.memory.update(MEMORY, answers);
    return startTask(this.runner, answers.cohort, titleOf(answers), (written) => taskOf(answers, written));
  }

  private async ask(given: Partial<TrainAnswers>): Promise<TrainAnswers | undefined> {
    const first: Draft = {
      ...FIRST_ANSWERS,
      cohort: undefined,
      ...remembered(this.memory.get(MEMORY)),
      ...given,
    };
    const draft = await askInTurn(this.steps, first);
    return draft && v.parse(answersSchema, draft);
  }

  private async askCohort(draft: Draft, step: number): Asked {
    this.listings.clear();
    const choices = async (): Promise<Choice<string>[]> => {
      const paths = await this.catalog.find();
      const known =
        draft.cohort === undefined || paths.includes(draft.cohort) ? paths : [draft.cohort, ...paths];
      const cohorts = known.map(async (path): Promise<Choice<string>> => {
        const label = `$(organization) ${vscode.workspace.asRelativePath(path, false)}`;
        try {
          const listing = await this.listing(path);
          const errors = listing.findings.filter(({ severity }) => severity === 'error').length;
          const fault =
            errors > 0 ? `, $(error) ${errors} ${errors === 1 ? 'error' : 'errors'} in its tables` : '';
          return { label, description: countsOf(listing) + fault, value: path };
        } catch (error) {
          return { label, detail: error instanceof Error ? error.message : String(error), value: path };
        }
      });
      return [
        ...(await Promise.all(cohorts)),
        {
          label: '$(folder-opened) Browse…',
          description: 'a BIDS folder, or a .csv or .tsv manifest',
          alwaysShow: true,
          value: BROWSE,
        },
      ];
    };
    const cohort = await this.questions.pick(step, {
      question: 'Which cohort should it train on?',
      choices: choices(),
      active: (path) => path === draft.cohort,
    });
    if (cohort === undefined || wentBack(cohort)) return cohort;
    if (cohort !== BROWSE) return { cohort };
    const path = await browse('Choose a BIDS folder or a manifest', true, { Manifests: ['csv', 'tsv'] });
    return path === undefined ? this.askCohort(draft, step) : { cohort: path };
  }

  private async askModality(draft: Draft, step: number): Asked {
    const rows: readonly Choice<TrainAnswers['modality']>[] = [
      { label: 'FLAIR', description: 'the contrast on which most lesions are seen', value: 'FLAIR' },
      { label: 'T1w', description: 'anatomy: cortical thickness, grey-white boundary', value: 'T1w' },
      { label: 'T1w + FLAIR', description: 'both, as two input channels', value: 'T1w+FLAIR' },
      { label: 'Mixed', description: 'every image of either contrast as a case of its own', value: 'mixed' },
    ];
    // What is wrong with a cohort that cannot be read, the task says.
    const listing = await this.listing(draft.cohort ?? '').catch(() => undefined);
    const counts = listing && modalityCounts(listing);
    const offered = rows.map(({ value }) => value);
    const focus = counts ? atHand(draft.modality, offered, counts) : draft.modality;
    return named(
      'modality',
      await this.questions.pick<TrainAnswers['modality']>(step, {
        question: 'What should the network see?',
        choices: rows.map((row) =>
          counts ? { ...row, description: `${row.description} · ${counts[row.value].text}` } : row,
        ),
        active: (value) => value === focus,
      }),
    );
  }

  /** What is in a cohort; read once in a guide. */
  private listing(path: string): Promise<CohortListing> {
    const known = this.listings.get(path) ?? this.compute.request('cohort', { path });
    this.listings.set(path, known);
    return known;
  }

  private async askDepth(draft: Draft, step: number): Asked {
    return named(
      'arch',
      await this.questions.pick<TrainAnswers['arch']>(step, {
        question: 'How deep should the 3D ResNet be?',
        choices: DEPTHS,
        active: (value) => value === draft.arch,
      }),
    );
  }

  private async askStrategy(draft: Draft, step: number): Asked {
    const shipped = weightsFor(draft.arch, await this.weights.catalogue());
    const remembers = draft.strategy !== 'none' && !isStrategyName(draft.strategy);
    const answer = await this.questions.pick<string>(step, {
      question: 'Which weights should it start from?',
      choices: [
        { label: 'No transfer', description: 'random weights', value: 'none' },
        ...shipped.map((one) => ({ ...weightsRow(one), value: one.strategy })),
        ...(remembers
          ? [
              {
                label: '$(file) The same file as last time',
                description: draft.strategy,
                value: draft.strategy,
              },
            ]
          : []),
        {
          label: '$(folder-opened) Weights from a file…',
          description: '.safetensors, .pth or .pt, such as those of MedicalNet',
          value: BROWSE,
        },
      ],
      active: (value) => value === draft.strategy,
    });
    if (answer === undefined || wentBack(answer)) return answer;
    if (answer !== BROWSE) return { strategy: answer };
    const path = await browse('Choose weights to start from', false, {
      Weights: ['safetensors', 'pth', 'pt'],
    });
    return path === undefined ? this.askStrategy(draft, step) : { strategy: path };
  }

  private askFolds(draft: Draft, step: number): Asked {
    return askFolds(this.questions, step, draft, {
      question: 'Cross-validate, or hold out one fold?',
      choices: [
        {
          label: 'Cross-validation',
          description: 'every fold is held out once; ends in a report over all cases',
          value: 'all',
        },
        { label: 'One fold', description: 'a single fit; quicker, and says less', value: 'one' },
      ],
      howMany: 'How many folds? Each patient and control is held out exactly once.',
    });
  }

  private async askGrid(draft: Draft, step: number): Asked {
    const share = smallWidth(draft.arch) === '1/4' ? 'a quarter' : 'an eighth';
    const small: Choice<TrainAnswers['grid']> = {
      label: 'Small',
      description: `for a laptop: 56 x 64 x 56 voxels of 3.5 mm, ${share} of the channels; minutes`,
      value: 'small',
    };
    const standard: Choice<TrainAnswers['grid']> = {
      label: 'Standard',
      description: 'as in the study: 160 x 256 x 256 voxels of 1 mm, all channels; days on a CPU',
      value: 'standard',
    };
    const shipped = isStrategyName(draft.strategy);
    return named(
      'grid',
      await this.questions.pick<TrainAnswers['grid']>(step, {
        question: shipped
          ? 'Which voxel grid? The weights that come with FCD Lens fit the small one.'
          : 'Which voxel grid?',
        choices: shipped ? [small] : [small, standard],
        active: (value) => value === draft.grid,
      }),
    );
  }

  private async askEpochs(draft: Draft, step: number): Asked {
    const text = await this.questions.input(step, {
      prompt:
        'How many epochs at most? Training ends earlier when the validation loss no longer falls. It starts next.',
      value: String(draft.epochs),
      fault: (given) => wholeNumberFault(given, 1, 'The number of epochs'),
    });
    return text === undefined || wentBack(text) ? text : { epochs: Number(text) };
  }
}

async function browse(
  title: string,
  folders: boolean,
  filters: Record<string, string[]>,
): Promise<string | undefined> {
  const chosen = await vscode.window.showOpenDialog({
    title,
    canSelectFiles: true,
    canSelectFolders: folders,
    canSelectMany: false,
    filters,
    defaultUri: vscode.workspace.workspaceFolders?.[0]?.uri,
  });
  return chosen?.[0]?.fsPath;
}
