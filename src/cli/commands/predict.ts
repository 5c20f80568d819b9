import type { Command } from 'commander';
import { predictScan } from '../../core/inference/predict-scan';
import { awaited } from '../../core/model/steps';
import { withEngine } from '../engine';
import { addInputOptions, openModel, prepareInput, recipeFor, type InputFlags } from '../input';
import {
  addEngineOptions,
  addNetworkOptions,
  addRecipeOptions,
  addUnusedSeedOption,
  type EngineFlags,
  type NetworkFlags,
  type RecipeFlags,
} from '../options';
import { print, printJson, table } from '../terminal';

interface PredictFlags extends NetworkFlags, RecipeFlags, EngineFlags, InputFlags {
  readonly model: string;
  readonly input: readonly string[];
  readonly json?: boolean;
}

export function addPredict(fcd: Command): void {
  const command = fcd
    .command('predict')
    .description('logits and probability of fcd for scans')
    .requiredOption('--model <file>', 'a checkpoint or a run directory')
    .requiredOption('--input <scans...>', 'NIfTI files; two channels of one case: T1W,FLAIR')
    .option('--json', 'JSON on standard output; "probability" is that of fcd');
  addInputOptions(command);
  addUnusedSeedOption(command);
  addNetworkOptions(command, 'file');
  addRecipeOptions(command, 'that of the checkpoint');
  addEngineOptions(command).action(run);
}

async function run(flags: PredictFlags): Promise<void> {
  const rows = await withEngine(flags, async () => {
    const { network, meta } = await openModel(flags);
    try {
      const recipe = await recipeFor(flags, meta);
      const predicted = [];
      for (const input of flags.input) {
        const { channels } = await prepareInput(input, recipe, flags, meta);
        predicted.push({ input, ...(await awaited(predictScan(network, channels))) });
      }
      return predicted;
    } finally {
      network.dispose();
    }
  });
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
}
