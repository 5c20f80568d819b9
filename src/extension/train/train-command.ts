import { relative } from 'node:path';
import * as vscode from 'vscode';
import * as v from 'valibot';
import { isStrategyName } from '../../protocol/catalogue';
import type { CohortCatalog } from '../cohort/cohort-catalog';
import { countsOf } from '../cohort/case-text';
import type { Compute } from '../compute/compute';
import { trusted } from '../settings/trust';
import { smallWidth } from '../tasks/command-line';
import { weightsFor, weightsRow, type ShippedWeights } from '../tasks/shipped-weights';
import type { RunningTask, TaskRunner } from '../tasks/task-runner';
import {
  answersSchema,
  FIRST_ANSWERS,
  remembered,
  taskOf,
  titleOf,
  wholeNumberFault,
  type TrainAnswers,
} from './answers';
import { Questions, wentBack, type Back, type Choice } from './steps';

const MEMORY = 'fcd.train.answers';
const TITLE = 'Train FCD Model';
const BROWSE = '';

type Draft = Omit<TrainAnswers, 'cohort'> & { cohort: string | undefined };
type Step = (draft: Draft, step: number) => Promise<Partial<Draft> | Back | undefined>;

/** FCD: Train FCD Model: asks what to train, remembers it, and runs it as a task. */
export class TrainCommand implements vscode.Disposable {
  private readonly command: vscode.Disposable;
  private readonly steps: readonly Step[];
  private readonly questions: Questions;

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
    const folder =
      vscode.workspace.getWorkspaceFolder(vscode.Uri.file(answers.cohort)) ??
      vscode.workspace.workspaceFolders?.[0];
    const inFolder = (path: string): string => {
      const inside = folder && relative(folder.uri.fsPath, path);
      return inside === undefined || inside.startsWith('..') ? path : inside === '' ? '.' : inside;
    };
    const running = await this.runner.run(
      taskOf(answers, inFolder),
      titleOf(answers),
      folder ?? vscode.TaskScope.Workspace,
    );
    if (running) await vscode.commands.executeCommand('fcd.runs.focus', { preserveFocus: true });
    return running;
  }

  private async ask(given: Partial<TrainAnswers>): Promise<TrainAnswers | undefined> {
    let draft: Draft = {
      ...FIRST_ANSWERS,
      cohort: undefined,
      ...remembered(this.memory.get(MEMORY)),
      ...given,
    };
    for (let at = 0; at < this.steps.length;) {
      const answer = await this.steps[at](draft, at + 1);
      if (answer === undefined) return undefined;
      if (wentBack(answer)) {
        at = Math.max(0, at - 1);
        continue;
      }
      draft = { ...draft, ...answer };
      at++;
    }
    return v.parse(answersSchema, draft);
  }

  private async askCohort(draft: Draft, step: number): Promise<Partial<Draft> | Back | undefined> {
    const choices = async (): Promise<Choice<string>[]> => {
      const paths = await this.catalog.find();
      const known =
        draft.cohort === undefined || paths.includes(draft.cohort) ? paths : [draft.cohort, ...paths];
      const cohorts = known.map(async (path): Promise<Choice<string>> => {
        const label = `$(organization) ${vscode.workspace.asRelativePath(path, false)}`;
        try {
          const listing = await this.compute.request('cohort', { path });
          const errors = listing.findings.filter(({ severity }) => severity === 'error').length;
          const fault =
            errors > 0 ? `, $(error) ${errors} ${errors === 1 ? 'error' : 'errors'} in its tables` : '';
          return { label, description: countsOf(listing) + fault, detail: path, value: path };
        } catch (error) {
          return {
            label,
            description: error instanceof Error ? error.message : String(error),
            detail: path,
            value: path,
          };
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
      placeholder: 'On which cohort?',
      choices: choices(),
      active: (path) => path === draft.cohort,
    });
    if (cohort === undefined || wentBack(cohort)) return cohort;
    if (cohort !== BROWSE) return { cohort };
    const path = await browse('Choose a BIDS folder or a manifest', true, { Manifests: ['csv', 'tsv'] });
    return path === undefined ? this.askCohort(draft, step) : { cohort: path };
  }

  private async askModality(draft: Draft, step: number): Promise<Partial<Draft> | Back | undefined> {
    return named(
      'modality',
      await this.questions.pick<TrainAnswers['modality']>(step, {
        placeholder: 'What shall the network see?',
        choices: [
          { label: 'FLAIR', description: 'the contrast on which most lesions are seen', value: 'FLAIR' },
          { label: 'T1w', description: 'anatomy: cortical thickness, grey-white boundary', value: 'T1w' },
          { label: 'T1w + FLAIR', description: 'both, as two input channels', value: 'T1w+FLAIR' },
          {
            label: 'Mixed',
            description: 'every image of either contrast as a case of its own',
            value: 'mixed',
          },
        ],
        active: (value) => value === draft.modality,
      }),
    );
  }

  private async askDepth(draft: Draft, step: number): Promise<Partial<Draft> | Back | undefined> {
    return named(
      'arch',
      await this.questions.pick<TrainAnswers['arch']>(step, {
        placeholder: 'How deep shall the 3D ResNet be?',
        choices: [
          {
            label: 'ResNet-10',
            description: 'basic blocks; the fastest, for trying things out',
            value: 'resnet10',
          },
          { label: 'ResNet-18', description: 'basic blocks; of the study', value: 'resnet18' },
          { label: 'ResNet-34', description: 'basic blocks; of the study', value: 'resnet34' },
          { label: 'ResNet-50', description: 'bottlenecks; of the study, the slowest', value: 'resnet50' },
        ],
        active: (value) => value === draft.arch,
      }),
    );
  }

  private async askStrategy(draft: Draft, step: number): Promise<Partial<Draft> | Back | undefined> {
    const shipped = weightsFor(draft.arch, await this.weights.catalogue());
    const remembers = draft.strategy !== 'none' && !isStrategyName(draft.strategy);
    const answer = await this.questions.pick<string>(step, {
      placeholder: 'From which weights shall it start?',
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

  private async askFolds(draft: Draft, step: number): Promise<Partial<Draft> | Back | undefined> {
    const answer = await this.questions.pick<'all' | 'one'>(step, {
      placeholder: 'Which folds?',
      choices: [
        {
          label: 'Cross-validation',
          description: 'every fold is held out once; ends in a report over all cases',
          value: 'all',
        },
        { label: 'One fold', description: 'a single fit; quicker, and says less', value: 'one' },
      ],
      active: (value) => (value === 'all') === (draft.fold === 0),
    });
    if (answer === undefined || wentBack(answer)) return answer;
    const text = await this.questions.input(step, {
      prompt:
        answer === 'all'
          ? 'How many folds? Each patient and control is held out in one of them.'
          : 'Which fold of how many is held out? Written k/K, as in 1/5.',
      value: answer === 'all' ? String(draft.folds) : `${Math.max(1, draft.fold)}/${draft.folds}`,
      fault: (given) =>
        answer === 'all' ? wholeNumberFault(given, 2, 'The number of folds') : foldFault(given),
    });
    if (text === undefined) return undefined;
    if (wentBack(text)) return this.askFolds(draft, step);
    if (answer === 'all') return { fold: 0, folds: Number(text) };
    const [fold, folds] = text.split('/').map(Number);
    return { fold, folds };
  }

  private async askGrid(draft: Draft, step: number): Promise<Partial<Draft> | Back | undefined> {
    const share = smallWidth(draft.arch) === '1/4' ? 'a quarter' : 'an eighth';
    const small: Choice<TrainAnswers['grid']> = {
      label: 'Small',
      description: `for a laptop: 56 x 64 x 56 voxels of 3.5 mm, ${share} of the channels; minutes`,
      value: 'small',
    };
    const standard: Choice<TrainAnswers['grid']> = {
      label: 'Standard',
      description: 'of the study: 160 x 256 x 256 voxels of 1 mm, all channels; days on a CPU',
      value: 'standard',
    };
    const shipped = isStrategyName(draft.strategy);
    return named(
      'grid',
      await this.questions.pick<TrainAnswers['grid']>(step, {
        placeholder: shipped
          ? 'On which grid? The weights that come with FCD Lens are those of the small one.'
          : 'On which grid?',
        choices: shipped ? [small] : [small, standard],
        active: (value) => value === draft.grid,
      }),
    );
  }

  private async askEpochs(draft: Draft, step: number): Promise<Partial<Draft> | Back | undefined> {
    const text = await this.questions.input(step, {
      prompt:
        'How many epochs at most? Training ends earlier when the validation loss no longer falls. Enter starts.',
      value: String(draft.epochs),
      fault: (given) => wholeNumberFault(given, 1, 'The number of epochs'),
    });
    return text === undefined || wentBack(text) ? text : { epochs: Number(text) };
  }
}

function named<K extends keyof Draft>(
  key: K,
  answer: Draft[K] | Back | undefined,
): Partial<Draft> | Back | undefined {
  return answer === undefined || wentBack(answer) ? answer : ({ [key]: answer } as Partial<Draft>);
}

function foldFault(text: string): string | undefined {
  const match = /^(\d+)\/(\d+)$/.exec(text.trim());
  const [fold, folds] = match ? [Number(match[1]), Number(match[2])] : [0, 0];
  return folds >= 2 && fold >= 1 && fold <= folds
    ? undefined
    : 'Give k/K with 1 <= k <= K and K >= 2, as in 1/5.';
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
