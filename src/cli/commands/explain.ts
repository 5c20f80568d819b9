import { Option, type Command } from 'commander';
import { writeCam } from '../../core/explain/cam-file';
import { camToNifti } from '../../core/explain/cam-nifti';
import { CAM_METHODS, type CamMethod } from '../../core/explain/gradcam';
import { ALIGNMENTS, type Alignment } from '../../core/explain/place-map';
import { explainScan } from '../../core/inference/explain-scan';
import { CLASS_NAMES } from '../../core/inference/predict-scan';
import type { LoadedNetwork } from '../../core/model/checkpoint';
import { awaited } from '../../core/model/steps';
import { withEngine } from '../engine';
import { addInputOptions, openModel, prepareInput, recipeFor, type InputFlags } from '../input';
import {
  addEngineOptions,
  addNetworkOptions,
  addRecipeOptions,
  addUnusedSeedOption,
  UsageError,
  type EngineFlags,
  type NetworkFlags,
  type RecipeFlags,
} from '../options';
import { print, printJson, tell } from '../terminal';

interface ExplainFlags extends NetworkFlags, RecipeFlags, EngineFlags, InputFlags {
  readonly model: string;
  readonly input: string;
  readonly class?: string;
  readonly layer: string;
  readonly method: CamMethod;
  readonly align: Alignment;
  readonly out: string;
  readonly rawOut?: string;
  readonly json?: boolean;
}

export function addExplain(fcd: Command): void {
  const command = fcd
    .command('explain')
    .description("where a network looks: a class map on the scan's own grid")
    .requiredOption('--model <file>', 'a checkpoint or a run directory')
    .requiredOption('--input <scan>', 'a NIfTI file; two channels: T1W,FLAIR')
    .requiredOption('--out <cam>', 'the map, .nii or .nii.gz; provenance goes into a .json beside it')
    .option('--class <name>', 'control, fcd, or an index (default: the predicted class)')
    .option('--layer <name>', 'dotted layer name', 'layer4')
    .addOption(new Option('--method <name>', 'kind of map').choices([...CAM_METHODS]).default('gradcam'))
    .addOption(
      new Option('--align <rule>', 'how cells are placed').choices([...ALIGNMENTS]).default('half-pixel'),
    )
    .option('--raw-out <file>', "also save the map at the layer's own resolution (.safetensors)")
    .option('--json', 'JSON on standard output');
  addInputOptions(command);
  addUnusedSeedOption(command);
  addNetworkOptions(command, 'file');
  addRecipeOptions(command, 'that of the checkpoint');
  addEngineOptions(command).action(run);
}

async function run(flags: ExplainFlags): Promise<void> {
  if (!/\.nii(\.gz)?$/.test(flags.out))
    throw new UsageError(`--out ${flags.out} must end in .nii or .nii.gz.`);
  const classIndex = flags.class === undefined ? undefined : classOf(flags.class);
  await withEngine(flags, async () => {
    const loaded = await openModel(flags);
    try {
      await explain(flags, classIndex, loaded);
    } finally {
      loaded.network.dispose();
    }
  });
}

async function explain(
  flags: ExplainFlags,
  classIndex: number | undefined,
  model: LoadedNetwork,
): Promise<void> {
  const recipe = await recipeFor(flags, model.meta);
  const scan = await prepareInput(flags.input, recipe, flags, model.meta);
  const { layer, method, align } = flags;
  const explained = await awaited(
    explainScan(model, { scan, recipe, name: flags.input }, { layer, method, align, classIndex }),
  );
  const { cam, logit, min, max } = explained;
  if (flags.rawOut !== undefined) await writeCam(flags.rawOut, cam.map, cam.record);
  await camToNifti(flags.out, cam, scan.subject);
  const { shape } = cam.map;
  if (flags.json) {
    printJson({
      out: flags.out,
      layer,
      class: explained.class,
      method,
      logit,
      raw: { shape, min, max },
      flags: cam.record.flags,
    });
    return;
  }
  print(
    `${method} of ${explained.class} at ${layer} (logit ${logit.toFixed(4)}), ${shape.join(' x ')} cells, values ${min.toPrecision(4)} to ${max.toPrecision(4)}: ${flags.out}`,
  );
  if (max === 0) tell('The map is zero everywhere: at this layer nothing speaks for this class.');
}

function classOf(text: string): number {
  const named = (CLASS_NAMES as readonly string[]).indexOf(text);
  if (named >= 0) return named;
  const index = Number(text);
  if (Number.isInteger(index) && index >= 0) return index;
  throw new UsageError(`--class ${text} is no class: give control, fcd, or an index.`);
}
