import { foldFault, wholeNumberFault } from './faults';
import { wentBack, type Back, type Choice, type Questions } from './questions';

/** One fold of K (`fold` from 1), or all K of them (`fold` 0). */
export interface Folds {
  readonly fold: number;
  readonly folds: number;
}

/** How a guide words the question. */
export interface FoldsWords {
  readonly question: string;
  readonly choices: readonly Choice<'all' | 'one'>[];
  /** Asks for the number of folds. */
  readonly howMany: string;
}

/** Whether one fold is held out or each in turn, and which of how many. */
export async function askFolds(
  questions: Questions,
  step: number,
  draft: Folds,
  words: FoldsWords,
): Promise<Folds | Back | undefined> {
  const { question, choices, howMany } = words;
  const answer = await questions.pick<'all' | 'one'>(step, {
    question,
    choices,
    active: (value) => (value === 'all') === (draft.fold === 0),
  });
  if (answer === undefined || wentBack(answer)) return answer;
  const all = answer === 'all';
  const text = await questions.input(step, {
    prompt: all ? howMany : 'Which fold should be held out? Write k/K: 1/5 is the first of five.',
    value: all ? String(draft.folds) : `${Math.max(1, draft.fold)}/${draft.folds}`,
    fault: (given) => (all ? wholeNumberFault(given, 2, 'The number of folds') : foldFault(given)),
  });
  if (text === undefined) return undefined;
  if (wentBack(text)) return askFolds(questions, step, draft, words);
  if (all) return { fold: 0, folds: Number(text) };
  const [fold, folds] = text.split('/').map(Number);
  return { fold, folds };
}
