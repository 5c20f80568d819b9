import type { Command } from 'commander';
import type { InitRecord } from '../protocol/run';
import type { Modality } from '../core/cohort/cohort';
import { examineStart, type ExaminedInit } from '../core/experiment/init-weights';
import type { NetworkSpec } from '../core/model/spec';
import { tell } from './terminal';

export interface InitFlags {
  readonly init: string;
  readonly initSameNames?: boolean;
  readonly modality: Modality;
}

export function addInitOptions(command: Command): Command {
  return command
    .option(
      '--init <weights>',
      'none, single:<task> or multi:23 (weights that come with the program), or a checkpoint, .pth or run directory ({fold}: of each fold)',
      'none',
    )
    .option('--init-same-names', "the heads of --init that are named like this cohort's are other heads");
}

/** In --init: the number of the fold, from 1. */
const FOLD = '{fold}';

/**
 * As {@link initGiven} for every fold: `{fold}` in the path is the fold's number from 1, for weights that were pre-trained
 * on each fold's training part. What is the same for all is said once.
 */
export async function initsGiven(
  flags: InitFlags,
  spec: NetworkSpec,
  folds: number,
): Promise<(fold: { readonly index: number }) => InitRecord> {
  if (!flags.init.includes(FOLD)) {
    const init = await initGiven(flags, spec);
    return () => init;
  }
  const inits: InitRecord[] = [];
  const said = new Set<string>();
  for (let fold = 1; fold <= folds; fold++) {
    const { record, sentences } = await examined(
      { ...flags, init: flags.init.replaceAll(FOLD, String(fold)) },
      spec,
    );
    inits.push(record);
    for (const sentence of sentences) if (!said.has(sentence)) tell(sentence);
    for (const sentence of sentences) said.add(sentence);
  }
  return ({ index }) => inits[index];
}

/** Looks at the weights to start from and says what is in them. */
export async function initGiven(flags: InitFlags, spec: NetworkSpec): Promise<InitRecord> {
  const { record, sentences } = await examined(flags, spec);
  for (const sentence of sentences) tell(sentence);
  return record;
}

function examined(flags: InitFlags, spec: NetworkSpec): Promise<ExaminedInit> {
  return examineStart(flags.init, spec, flags.modality, flags.initSameNames ?? false);
}
