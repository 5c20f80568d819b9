import { isAbsolute, join } from 'node:path';
import * as vscode from 'vscode';
import * as v from 'valibot';
import { trusted } from '../settings/trust';
import type { RunningTask, TaskRunner } from '../tasks/task-runner';
import { folderFault, wholeNumberFault } from '../guide/faults';
import { Questions, wentBack } from '../guide/questions';
import { exists } from '../runs/follow-run';

const TITLE = 'Create Phantom Cohort';

const requestSchema = v.object({
  /** Absolute, or relative to the first workspace folder. */
  out: v.pipe(v.string(), v.minLength(1)),
  subjects: v.pipe(v.number(), v.integer(), v.minValue(2)),
  difficulty: v.pipe(v.number(), v.minValue(0), v.maxValue(1)),
});
type PhantomRequest = v.InferOutput<typeof requestSchema>;

/** FCD: Create Phantom Cohort: heads that never were a person, to try everything with. */
export function registerPhantomCommand(runner: TaskRunner): vscode.Disposable {
  return vscode.commands.registerCommand('fcd.createPhantomCohort', async (given?: unknown) => {
    if (!(await trusted(TITLE))) return undefined;
    const folder = vscode.workspace.workspaceFolders?.[0];
    const request = v.is(requestSchema, given) ? given : await ask(folder);
    return request && create(runner, folder, request);
  });
}

async function create(
  runner: TaskRunner,
  folder: vscode.WorkspaceFolder | undefined,
  { out, subjects, difficulty }: PhantomRequest,
): Promise<RunningTask | undefined> {
  return runner.run(
    { type: 'fcd', task: 'phantom', out, subjects, difficulty },
    `phantom cohort ${out}`,
    folder ?? vscode.TaskScope.Workspace,
  );
}

async function ask(folder: vscode.WorkspaceFolder | undefined): Promise<PhantomRequest | undefined> {
  const questions = new Questions(TITLE, 3);
  let out = folder ? await freeName(folder.uri.fsPath) : '';
  let subjects = '40';
  for (let step = 1; ;) {
    if (step === 1) {
      const answer = folder
        ? await questions.input(1, {
            prompt: `Which new folder of ${folder.name} should it go into?`,
            value: out,
            fault: (text) => folderFault(folder.uri.fsPath, text),
          })
        : await chooseFolder();
      if (answer === undefined || wentBack(answer)) return undefined;
      out = answer;
      step = 2;
    } else if (step === 2) {
      const answer = await questions.input(2, {
        prompt:
          'How many heads? Half of them get a lesion like FCD type II. A head takes a fraction of a second.',
        value: subjects,
        fault: (text) => wholeNumberFault(text, 2, 'The number of heads'),
      });
      if (answer === undefined) return undefined;
      if (!wentBack(answer)) subjects = answer;
      step = wentBack(answer) ? 1 : 3;
    } else {
      const answer = await questions.pick<number>(3, {
        question: 'How hard should the lesions be to find?',
        choices: [
          {
            label: 'Easy',
            description: 'difficulty 0.1: brighter than most real ones; learned in minutes',
            value: 0.1,
          },
          { label: 'Medium', description: 'difficulty 0.5', value: 0.5 },
          { label: 'Hard', description: 'difficulty 0.9: hardly any change of brightness', value: 0.9 },
        ],
        active: (value) => value === 0.1,
      });
      if (answer === undefined) return undefined;
      if (!wentBack(answer)) return { out, subjects: Number(subjects), difficulty: answer };
      step = 2;
    }
  }
}

async function freeName(folder: string): Promise<string> {
  for (let number = 1; ; number++) {
    const name = number === 1 ? 'phantom' : `phantom-${number}`;
    if (!(await exists(join(folder, name)))) return name;
  }
}

async function chooseFolder(): Promise<string | undefined> {
  const chosen = await vscode.window.showOpenDialog({
    title: 'Choose a new or empty folder for the phantom cohort',
    canSelectFiles: false,
    canSelectFolders: true,
    canSelectMany: false,
  });
  const path = chosen?.[0]?.fsPath;
  return path !== undefined && isAbsolute(path) ? path : undefined;
}
