import type * as vscode from 'vscode';
import type { ModelListing } from '../../protocol/compute';
import { Questions, askInTurn, named, wentBack, type Step } from '../guide/questions';
import { chooseClass, chooseLayer, chooseMethod, type MapClass, type Method } from './choose-map-kind';
import { chooseModel } from './choose-model';
import { chooseScan } from './choose-scan';

/** What is known of a case and of what shall be computed of it. */
export interface CaseDraft {
  readonly image?: string;
  readonly model?: string;
  readonly layer?: string;
  readonly method?: Method;
  readonly class?: MapClass;
}

export interface CaseGuide {
  readonly title: string;
  /** A class map is wanted, not a prediction alone. */
  readonly map: boolean;
  readonly memory: vscode.Memento;
  /** What a model is; @throws Error with a sentence where the scan's subject has no image that it wants */
  readonly listing: (model: string, image: string) => Promise<ModelListing>;
}

/** Asks for what is not known yet, one question after the other; undefined where the person gave up. */
export async function askCase(
  { title, map, memory, listing }: CaseGuide,
  known: CaseDraft,
): Promise<CaseDraft | undefined> {
  const asked: (keyof CaseDraft)[] = [
    'image',
    'model',
    ...(map ? (['layer', 'method', 'class'] as const) : []),
  ];
  const unknown = asked.filter((name) => known[name] === undefined);
  const questions = new Questions(title, unknown.length);
  const steps: Readonly<Record<keyof CaseDraft, Step<CaseDraft>>> = {
    image: async ({ image }, step) => named('image', await chooseScan(questions, step, image)),
    model: async ({ image = '', model }, step) => {
      const answer = await chooseModel(questions, step, memory, model);
      // Told now, not after three more questions.
      if (answer !== undefined && !wentBack(answer)) await listing(answer, image);
      return named('model', answer);
    },
    layer: async ({ image = '', model = '', layer }, step) =>
      named('layer', await chooseLayer(questions, step, await listing(model, image), layer)),
    method: async (draft, step) => named('method', await chooseMethod(questions, step, draft.method)),
    class: async (draft, step) => named('class', await chooseClass(questions, step, draft.class)),
  };
  return askInTurn(
    unknown.map((name) => steps[name]),
    known,
  );
}
