import type { Command } from 'commander';
import { closeEngine, openEngine } from '../../core/engine/choose';
import { loadNetwork } from '../../core/model/checkpoint';
import { networkInput } from '../../core/model/input';
import { softmax } from '../../core/train/loss';
import { prepareInput, addInputOptions, recipeFor, reportLoad, type InputFlags } from '../input';
import {
  addEngineOptions,
  addNetworkOptions,
  addRecipeOptions,
  networkGiven,
  type EngineFlags,
  type NetworkFlags,
  type RecipeFlags,
} from '../options';
import { print, printJson, table, tell } from '../terminal';

interface PredictFlags extends NetworkFlags, RecipeFlags, EngineFlags, InputFlags {
  readonly model: string;
  readonly input: readonly string[];
  readonly json?: boolean;
}

/** Names of the classes of the study's networks, by index. */
export const CLASS_NAMES = ['control', 'fcd'] as const;

export function className(index: number): string {
  return CLASS_NAMES[index] ?? `class ${index}`;
}

export function addPredict(fcd: Command): void {
  const command = fcd
    .command('predict')
    .description('logits and probability of fcd for scans')
    .requiredOption('--model <file>', 'a checkpoint or a run directory')
    .requiredOption('--input <scans...>', 'NIfTI files; two channels of one case: T1W,FLAIR')
    .option('--json', 'JSON on standard output');
  addInputOptions(command);
  addNetworkOptions(command);
  addRecipeOptions(command);
  addEngineOptions(command).action(run);
}

async function run(flags: PredictFlags): Promise<void> {
  await openEngine(flags);
  const { network, meta, report } = await loadNetwork(flags.model, networkGiven(flags));
  try {
    reportLoad(report, flags.model);
    const recipe = await recipeFor(flags, meta);
    const rows = [];
    for (const input of flags.input) {
      const { channels, brainSource } = await prepareInput(input, recipe, flags.brain);
      tell(`${input}: brain mask ${brainSource}`);
      const x = networkInput(channels, network.spec);
      const logits = [...network.predict(x)];
      x.dispose();
      const probabilities = softmax(logits);
      const predicted = logits.indexOf(Math.max(...logits));
      rows.push({ input, logits, probability: probabilities[1], predicted: className(predicted) });
    }
    if (flags.json) printJson(rows);
    else
      print(
        table(
          ['input', 'logit control', 'logit fcd', 'p(fcd)', 'predicted'],
          rows.map((row) => [
            row.input,
            ...row.logits.slice(0, 2).map((logit) => logit.toFixed(4)),
            row.probability.toFixed(4),
            row.predicted,
          ]),
        ),
      );
  } finally {
    network.dispose();
    await closeEngine();
  }
}
