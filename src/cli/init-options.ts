import type { Command } from 'commander';
import type { InitRecord } from '../protocol/run';
import type { Modality } from '../core/cohort/cohort';
import { examineStart } from '../core/experiment/init-weights';
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
  for (let fold = 1; fold <= folds; fold++)
    inits.push(await initGiven({ ...flags, init: flags.init.replaceAll(FOLD, String(fold)) }, spec));
  return ({ index }) => inits[index];
}

/** Looks at the weights to start from and says what is in them. Needs the engine. */
export async function initGiven(flags: InitFlags, spec: NetworkSpec): Promise<InitRecord> {
  const { record, sentences } = await examineStart(
    flags.init,
    spec,
    flags.modality,
    flags.initSameNames ?? false,
  );
  for (const sentence of sentences) tell(sentence);
  return record;
}
