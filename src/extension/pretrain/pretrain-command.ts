import * as vscode from 'vscode';
import * as v from 'valibot';
import { DEPTHS } from '../guide/depths';
import { wholeNumberFault } from '../guide/faults';
import { askFolds } from '../guide/folds';
import { Questions, askInTurn, named, wentBack, type Choice, type Step } from '../guide/questions';
import { startTask } from '../guide/start-task';
import { trusted } from '../settings/trust';
import { smallWidth } from '../tasks/command-line';
import type { RunningTask, TaskRunner } from '../tasks/task-runner';
import {
  answersSchema,
  FIRST_ANSWERS,
  placeOf,
  remembered,
  taskOf,
  titleOf,
  type PretrainAnswers,
} from './answers';
import { findTasksFiles, readTasks } from './tasks-files';

const MEMORY = 'fcd.pretrain.answers';
const TITLE = 'Pre-train on Segmentation';
const BROWSE = '';

type Draft = Omit<PretrainAnswers, 'tasks'> & { tasks: string | undefined };
type Asked = ReturnType<Step<Draft>>;

/** FCD: Pre-train on Segmentation: asks what an encoder shall learn to segment, remembers it, and runs it as a task. */
export class PretrainCommand implements vscode.Disposable {
  private readonly command: vscode.Disposable;
  private readonly steps: readonly Step<Draft>[];
  private readonly questions: Questions;

  constructor(
    private readonly memory: vscode.Memento,
    private readonly runner: TaskRunner,
  ) {
    this.steps = [
      (draft, step) => this.askTasks(draft, step),
      (draft, step) => this.askSingle(draft, step),
      (draft, step) => this.askDepth(draft, step),
      (draft, step) => this.askFolds(draft, step),
      (draft, step) => this.askGrid(draft, step),
      (draft, step) => this.askEpochs(draft, step),
    ];
    this.questions = new Questions(TITLE, this.steps.length);
    this.command = vscode.commands.registerCommand('fcd.pretrain', (answers?: unknown) =>
      this.pretrain(answers),
    );
  }

  dispose(): void {
    this.command.dispose();
  }

  /**
   * @param given answers, where a keybinding or another extension knows them already: nothing is asked then
   * @returns the task that was started
   */
  private async pretrain(given?: unknown): Promise<RunningTask | undefined> {
    if (!(await trusted(TITLE))) return undefined;
    const answers = v.is(answersSchema, given) ? given : await this.ask(remembered(given));
    if (!answers) return undefined;
    await this.memory.update(MEMORY, answers);
    return startTask(this.runner, answers.tasks, titleOf(answers), (written) => taskOf(answers, written));
  }

  private async ask(given: Partial<PretrainAnswers>): Promise<PretrainAnswers | undefined> {
    const first: Draft = {
      ...FIRST_ANSWERS,
      tasks: undefined,
      ...remembered(this.memory.get(MEMORY)),
      ...given,
    };
    const draft = await askInTurn(this.steps, first);
    return draft && v.parse(answersSchema, draft);
  }

  private async askTasks(draft: Draft, step: number): Asked {
    const choices = async (): Promise<Choice<string>[]> => {
      const found = await findTasksFiles();
      const known = draft.tasks !== undefined && !found.some(({ path }) => path === draft.tasks);
      const remembers = known ? await readTasks(draft.tasks ?? '') : undefined;
      return [
        ...[...(remembers ? [remembers] : []), ...found].map(({ path, names }): Choice<string> => ({
          label: `$(list-unordered) ${placeOf(path)}`,
          description: `${names.length} ${names.length === 1 ? 'structure' : 'structures'}: ${names.slice(0, 4).join(', ')}${names.length > 4 ? ', …' : ''}`,
          detail: path,
          value: path,
        })),
        {
          label: '$(folder-opened) Browse…',
          description: 'a tasks.json that names structures by label numbers, and the heads',
          alwaysShow: true,
          value: BROWSE,
        },
      ];
    };
    const tasks = await this.questions.pick(step, {
      question: 'Which segmentation tasks?',
      choices: choices(),
      active: (path) => path === draft.tasks,
    });
    if (tasks === undefined || wentBack(tasks)) return tasks;
    if (tasks !== BROWSE) return { tasks };
    const chosen = await vscode.window.showOpenDialog({
      title: 'Choose a tasks.json',
      filters: { Tasks: ['json'] },
      defaultUri: vscode.workspace.workspaceFolders?.[0]?.uri,
    });
    return chosen?.[0] === undefined ? this.askTasks(draft, step) : { tasks: chosen[0].fsPath };
  }

  private async askSingle(draft: Draft, step: number): Asked {
    const choices = async (): Promise<Choice<string>[]> => {
      const names = (await readTasks(draft.tasks ?? ''))?.names ?? [];
      return [
        {
          label: 'All of them',
          description: 'multi-task: one encoder, a prediction for each structure',
          value: '',
        },
        ...names.map((name) => ({ label: name, value: name })),
      ];
    };
    const single = await this.questions.pick(step, {
      question: 'What should the encoder learn to segment?',
      choices: choices(),
      active: (value) => value === draft.single,
    });
    return single === undefined || wentBack(single) ? single : { single };
  }

  private async askDepth(draft: Draft, step: number): Asked {
    return named(
      'arch',
      await this.questions.pick<PretrainAnswers['arch']>(step, {
        question: 'How deep should the encoder be? A training that starts from it has the same depth.',
        choices: DEPTHS,
        active: (value) => value === draft.arch,
      }),
    );
  }

  private askFolds(draft: Draft, step: number): Asked {
    return askFolds(this.questions, step, draft, {
      question: 'Whose heads should be held out?',
      choices: [
        {
          label: 'One fold',
          description: 'an encoder for the same fold of a training: it has not seen that fold’s heads',
          value: 'one',
        },
        {
          label: 'Every fold in turn',
          description: 'an encoder for each fold, and Dice over all heads',
          value: 'all',
        },
      ],
      howMany: 'How many folds? Each head is held out exactly once.',
    });
  }

  private async askGrid(draft: Draft, step: number): Asked {
    const share = smallWidth(draft.arch) === '1/4' ? 'a quarter' : 'an eighth';
    const grid = await this.questions.pick<PretrainAnswers['grid']>(step, {
      question: 'Which voxel grid?',
      choices: [
        {
          label: 'Small',
          description: `for a laptop: 56 x 64 x 56 voxels of 3.5 mm, ${share} of the channels; minutes`,
          value: 'small',
        },
        {
          label: 'Standard',
          description: 'each scan’s own grid, all channels; hours to days on a CPU',
          value: 'standard',
        },
      ],
      active: (value) => value === draft.grid,
    });
    return grid === undefined || wentBack(grid) ? grid : { grid };
  }

  private async askEpochs(draft: Draft, step: number): Asked {
    const text = await this.questions.input(step, {
      prompt:
        'How many epochs? The weights of the last one are kept: held-out heads choose nothing. It starts next.',
      value: String(draft.epochs),
      fault: (given) => wholeNumberFault(given, 1, 'The number of epochs'),
    });
    return text === undefined || wentBack(text) ? text : { epochs: Number(text) };
  }
}
