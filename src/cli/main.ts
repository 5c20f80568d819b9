import { Command, CommanderError } from 'commander';
import { InputError, StoppedError, messageOf } from '../core/errors';
import { VERSION } from '../core/version';
import { addCohortCommands } from './commands/cohort';
import { addDemo } from './commands/demo';
import { addDoctor } from './commands/doctor';
import { addExperiment } from './commands/experiment';
import { addExplain } from './commands/explain';
import { addExport } from './commands/export';
import { addHeatScore } from './commands/heatscore';
import { addImport } from './commands/import';
import { addInspect } from './commands/inspect';
import { addPredict } from './commands/predict';
import { addPretrain } from './commands/pretrain';
import { addReport } from './commands/report';
import { addTrain } from './commands/train';
import { addWeights } from './commands/weights';
import { UsageError } from './options';
import { tell } from './terminal';

/** Exit codes: 0 done, 1 failed, 2 wrong use, 130 stopped by the user with a resumable state. */
const FAILED = 1;
const WRONG_USE = 2;
const STOPPED = 130;

function program(): Command {
  const fcd = new Command('fcd')
    .description('FCD Lens: train, explain and score 3D-CNNs on brain MRI. For research, not for diagnosis.')
    .version(VERSION)
    .showHelpAfterError('(fcd --help and fcd COMMAND --help tell the options)')
    .exitOverride();
  const groups: readonly (readonly [string, ...((fcd: Command) => void)[]])[] = [
    ['To begin with:', addDemo, addDoctor],
    ['Cohorts:', addCohortCommands],
    ['Weights:', addWeights, addInspect, addImport, addExport],
    ['Training:', addPretrain, addTrain, addExperiment, addReport],
    ['One case:', addPredict, addExplain, addHeatScore],
  ];
  for (const [heading, ...add] of groups) {
    fcd.commandsGroup(heading);
    for (const one of add) one(fcd);
  }
  fcd.commandsGroup(groups[0][0]);
  fcd.helpCommand('help [command]', 'the options of a command');
  for (const command of fcd.commands) nameRequired(command);
  return fcd;
}

/** Puts the options that a command cannot do without into its usage line. */
function nameRequired(command: Command): void {
  const required = command.options.filter(({ mandatory }) => mandatory).map(({ flags }) => flags);
  if (required.length > 0) command.usage([...required, '[options]'].join(' '));
}

async function main(): Promise<number> {
  try {
    await program().parseAsync();
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : WRONG_USE;
    if (error instanceof StoppedError) {
      tell(error.message);
      return STOPPED;
    }
    if (error instanceof InputError) {
      // One line each, as compilers write them: editors and scripts can point at the place.
      for (const { file, line, message } of error.places) tell(`${file}:${line}: error: ${message}`);
      if (error.places.length === 0) tell(`fcd: ${error.message}`);
      else if (error.places.length > 1)
        tell(`fcd: ${error.places.length} lines of ${error.places[0].file} must be corrected.`);
      return error instanceof UsageError ? WRONG_USE : FAILED;
    }
    // What the system refuses (a disk, a permission) is no fault of the program: its stack would tell nothing.
    if (error instanceof Error && 'syscall' in error) {
      tell(`fcd: ${messageOf(error)}.`);
      return FAILED;
    }
    tell(`fcd: unexpected: ${messageOf(error)}`);
    if (error instanceof Error && error.stack) tell(error.stack);
    return FAILED;
  }
}

// The terminal or editor that showed the progress may go before the work does; the work goes on.
process.stderr.on('error', () => {});
// A closed pipe (fcd ... | head) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) =>
  process.exit(error.code === 'EPIPE' ? 0 : FAILED),
);
process.exitCode = await main();
