import { Option, type Command } from 'commander';
import { maskOnGrid } from '../../core/cohort/prepared-case';
import { HEAT_SCORE_VARIANTS, scoreMap, type HeatScoreVariant } from '../../core/explain/heat-score';
import { exceedsNull, nullScores } from '../../core/explain/null';
import { readNifti } from '../../core/volume/nifti-read';
import { headMask } from '../../core/volume/head-mask';
import { wholeGrid } from '../../core/volume/mask';
import { resample } from '../../core/volume/resample';
import type { Mask, Volume } from '../../core/volume/volume';
import { print, printJson, table } from '../terminal';

interface HeatScoreFlags {
  readonly cam: string;
  readonly roi: string;
  readonly brain?: string;
  readonly image?: string;
  readonly variant?: HeatScoreVariant;
  readonly json?: boolean;
}

export function addHeatScore(fcd: Command): void {
  fcd
    .command('heatscore')
    .description('how much of a class map lies on the lesion; the formula is our reading of the study')
    .requiredOption('--cam <map>', 'a class map as NIfTI')
    .requiredOption(
      '--roi <mask>',
      'the lesion mask; brought to the map by nearest neighbour where grids differ',
    )
    .option('--brain <mask>', 'the brain mask')
    .option(
      '--image <scan>',
      'the scan: without --brain its head mask (Otsu) serves; without both the whole grid',
    )
    .addOption(new Option('--variant <name>', 'one variant alone').choices([...HEAT_SCORE_VARIANTS]))
    .option('--json', 'JSON on standard output')
    .action(run);
}

async function run(flags: HeatScoreFlags): Promise<void> {
  const { volume: heat } = await readNifti(flags.cam);
  const roi = await maskOnGrid(flags.roi, heat);
  const head = flags.image === undefined ? undefined : await headOf(flags.image, heat);
  const { brain, source } = await brainOf(flags, heat, head);
  const names = { heat: flags.cam, roi: flags.roi, brain: flags.brain ?? source };
  const scores = scoreMap({ heat, roi, brain, head, names });
  const chance = nullScores({ heat, roi, brain });
  const chosen = scores.heatScores.filter(
    ({ variant }) => flags.variant === undefined || variant === flags.variant,
  );
  const observed = chance.observed;
  if (flags.json) {
    printJson({
      cam: flags.cam,
      roi: { file: flags.roi, ...scores.roi },
      brain: { source, ...scores.brain },
      scores: chosen,
      companions: scores.companions,
      null: {
        kind: 'mirrored',
        scores: chance.scores,
        summary: chance.summary ?? null,
        exceeds: exceedsNull(observed, chance.summary),
      },
      flags: scores.flags,
    });
    return;
  }
  print(`Lesion ${scores.roi.ml.toFixed(2)} ml (${scores.roi.voxels} voxels); reference: ${source}\n`);
  print(
    table(
      ['Heat-Score', 'score', 'mean in lesion', 'mean in reference'],
      chosen.map((one) => [one.variant, number(one.score), number(one.roiMean), number(one.referenceMean)]),
    ),
  );
  print(`\nagainst the mirrored lesion mask: ${number(chance.scores[0]?.score ?? null)} (chance 1)`);
  const { massFraction, volumeFraction, pointing, pointing5mm, auroc, averagePrecision, topDice } =
    scores.companions;
  print(
    `mass fraction ${number(massFraction)} (volume fraction ${number(volumeFraction)}), maximum in the lesion ${yes(pointing)}, within 5 mm ${yes(pointing5mm)}, AUROC ${number(auroc)}, average precision ${number(averagePrecision)}, Dice of the top voxels ${number(topDice)}`,
  );
  for (const flag of scores.flags) print(`flag: ${flag}`);
}

async function brainOf(
  flags: HeatScoreFlags,
  heat: Volume,
  head: Mask | undefined,
): Promise<{ brain: Mask; source: string }> {
  if (flags.brain !== undefined)
    return { brain: await maskOnGrid(flags.brain, heat), source: `brain mask ${flags.brain}` };
  if (head) return { brain: head, source: `head mask (Otsu) of ${flags.image}` };
  return {
    brain: wholeGrid(heat),
    source: 'the whole grid (give --brain or --image: air makes the score too good)',
  };
}

async function headOf(path: string, heat: Volume): Promise<Mask> {
  const { volume } = await readNifti(path);
  return resample(headMask(volume), heat, 'nearest');
}

function number(value: number | null): string {
  return value === null ? '-' : value.toPrecision(4);
}

function yes(value: boolean | null): string {
  return value === null ? '-' : value ? 'yes' : 'no';
}
