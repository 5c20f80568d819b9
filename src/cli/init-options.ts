import type { Command } from 'commander';
import type { InitRecord } from '../protocol/run';
import { examineInit, NO_INIT } from '../core/experiment/init-weights';
import type { NetworkSpec } from '../core/model/spec';
import { tell } from './terminal';

export interface InitFlags {
  readonly init: string;
  readonly initSameNames?: boolean;
}

export function addInitOptions(command: Command): Command {
  return command
    .option('--init <weights>', 'none, or a checkpoint, .pth or run directory to start from', 'none')
    .option('--init-same-names', "the heads of --init that are named like this cohort's are other heads");
}

/** Looks at the weights to start from and says what is in them. Needs the engine. */
export async function initGiven(flags: InitFlags, spec: NetworkSpec): Promise<InitRecord> {
  const { record, sentences } =
    flags.init === 'none' ? NO_INIT : await examineInit(flags.init, spec, flags.initSameNames ?? false);
  for (const sentence of sentences) tell(sentence);
  return record;
}
