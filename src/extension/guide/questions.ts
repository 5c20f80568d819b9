import * as vscode from 'vscode';

/** A row that can be chosen. */
export interface Choice<T> extends vscode.QuickPickItem {
  readonly value: T;
}

/** A line over the rows that follow it. */
export interface Heading extends vscode.QuickPickItem {
  readonly kind: vscode.QuickPickItemKind.Separator;
}

export interface PickStep<T> {
  readonly question: string;
  readonly choices: readonly (Choice<T> | Heading)[] | Promise<readonly (Choice<T> | Heading)[]>;
  /** The row that has the focus at first. */
  readonly active: (value: T) => boolean;
}

export interface InputStep {
  readonly prompt: string;
  readonly value: string;
  /** A sentence where the text is wrong. */
  readonly fault: (text: string) => string | undefined;
}

const BACK = Symbol('back');
export type Back = typeof BACK;

export function wentBack<T>(answer: T | Back): answer is Back {
  return answer === BACK;
}

/** Asks for a part of what is to be known, which so far is `draft`; steps are counted from 1. */
export type Step<D> = (draft: D, step: number) => Promise<Partial<D> | Back | undefined>;

/** All that the steps ask for, one after the other with the way back; undefined where the person left. */
export async function askInTurn<D>(steps: readonly Step<D>[], first: D): Promise<D | undefined> {
  let draft = first;
  for (let at = 0; at < steps.length;) {
    const answer = await steps[at](draft, at + 1);
    if (answer === undefined) return undefined;
    if (wentBack(answer)) {
      at = Math.max(0, at - 1);
      continue;
    }
    draft = { ...draft, ...answer };
    at++;
  }
  return draft;
}

/** An answer under its name, where there is one. */
export function named<K extends string, T extends string>(
  key: K,
  answer: T | Back | undefined,
): Record<K, T> | Back | undefined {
  return answer === undefined || answer === BACK ? answer : ({ [key]: answer } as Record<K, T>);
}

/**
 * Questions one after the other, with their number and a way back, as in the editor's own guides.
 * An answer of undefined means that the person left.
 */
export class Questions {
  constructor(
    private readonly title: string,
    private readonly total: number,
  ) {}

  /** @param step counted from 1 */
  pick<T>(step: number, { question, choices, active }: PickStep<T>): Promise<T | Back | undefined> {
    const input = vscode.window.createQuickPick<Choice<T> | Heading>();
    input.placeholder = question;
    input.matchOnDescription = true;
    input.matchOnDetail = true;
    input.busy = true;
    void Promise.resolve(choices).then(
      (items) => {
        input.items = items;
        const rows = items.filter((item) => 'value' in item);
        const focus = rows.find(({ value }) => active(value)) ?? rows[0];
        if (focus) input.activeItems = [focus];
        input.busy = false;
      },
      (error: unknown) => {
        input.hide();
        void vscode.window.showErrorMessage(error instanceof Error ? error.message : String(error));
      },
    );
    return this.ask(step, input, (done) =>
      input.onDidAccept(() => {
        const [chosen] = input.selectedItems;
        if (chosen && 'value' in chosen) done(chosen.value);
      }),
    );
  }

  input(step: number, { prompt, value, fault }: InputStep): Promise<string | Back | undefined> {
    const input = vscode.window.createInputBox();
    input.prompt = prompt;
    input.value = value;
    const check = input.onDidChangeValue((text) => {
      input.validationMessage = fault(text);
    });
    return this.ask<string>(step, input, (done) =>
      input.onDidAccept(() => {
        input.validationMessage = fault(input.value);
        if (input.validationMessage === undefined) done(input.value.trim());
      }),
    ).finally(() => check.dispose());
  }

  private async ask<T>(
    step: number,
    input: (vscode.QuickPick<vscode.QuickPickItem> | vscode.InputBox) & vscode.QuickInput,
    onAccept: (done: (answer: T) => void) => vscode.Disposable,
  ): Promise<T | Back | undefined> {
    input.title = this.title;
    // A single question is no guide.
    if (this.total > 1) {
      input.step = step;
      input.totalSteps = this.total;
    }
    input.ignoreFocusOut = true;
    input.buttons = step > 1 ? [vscode.QuickInputButtons.Back] : [];
    const disposables: vscode.Disposable[] = [input];
    try {
      return await new Promise<T | Back | undefined>((resolve) => {
        disposables.push(
          onAccept(resolve),
          input.onDidTriggerButton((button) => {
            if (button === vscode.QuickInputButtons.Back) resolve(BACK);
          }),
          input.onDidHide(() => resolve(undefined)),
        );
        input.show();
      });
    } finally {
      for (const disposable of disposables) disposable.dispose();
    }
  }
}
