import * as vscode from 'vscode';
import type { ModelListing } from '../../protocol/compute';
import type { CaseArgs } from '../../protocol/viewer';
import type { Back, Choice, Heading, Questions } from '../guide/questions';

export type Method = NonNullable<CaseArgs['method']>;
export type MapClass = NonNullable<CaseArgs['class']> | 'predicted';

const DEFAULT_LAYER = 'layer4';

/** The layer of a network that a map is made of: its stages first, the last one before the others. */
export function chooseLayer(
  questions: Questions,
  step: number,
  listing: ModelListing,
  now: string | undefined,
): Promise<string | Back | undefined> {
  return questions.pick(step, {
    question: 'Which layer?',
    choices: layersOf(listing),
    active: (layer) => layer === (now ?? DEFAULT_LAYER),
  });
}

function layersOf({ layers, stages, title }: ModelListing): (Choice<string> | Heading)[] {
  if (layers.length === 0) throw new Error(`${title} has no layer that a map can be made of.`);
  const shownFirst = [...stages].sort(
    (a, b) => Number(b === DEFAULT_LAYER) - Number(a === DEFAULT_LAYER) || (a < b ? 1 : -1),
  );
  return [
    ...shownFirst.map((layer) => ({
      label: layer,
      ...(layer === DEFAULT_LAYER && { description: 'the last convolutional stage, as in the study' }),
      value: layer,
    })),
    { label: 'Single layers', kind: vscode.QuickPickItemKind.Separator },
    ...layers.filter((layer) => !stages.includes(layer)).map((layer) => ({ label: layer, value: layer })),
  ];
}

export function chooseMethod(
  questions: Questions,
  step: number,
  now: Method | undefined,
): Promise<Method | Back | undefined> {
  return questions.pick<Method>(step, {
    question: 'Which method?',
    choices: [
      {
        label: 'Grad-CAM',
        description: 'channels weighted by the mean of their gradient, as in the study',
        value: 'gradcam',
      },
      { label: 'HiResCAM', description: 'gradient times activation, cell by cell', value: 'hirescam' },
    ],
    active: (method) => method === now,
  });
}

export function chooseClass(
  questions: Questions,
  step: number,
  now: MapClass | undefined,
): Promise<MapClass | Back | undefined> {
  return questions.pick<MapClass>(step, {
    question: 'Which class should the map explain?',
    choices: [
      { label: 'The predicted class', value: 'predicted' },
      { label: 'fcd', description: 'what speaks for a dysplasia, whatever was predicted', value: 'fcd' },
      { label: 'control', description: 'what speaks against one', value: 'control' },
    ],
    active: (one) => one === now,
  });
}
