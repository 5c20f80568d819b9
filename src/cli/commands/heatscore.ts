import { Option, type Command } from 'commander';
import { maskOnGrid } from '../../core/cohort/prepared-case';
import { InputError } from '../../core/errors';
import {
  HEAT_SCORE_VARIANTS,
  heatScoreOf,
  scoreMap,
  type HeatScoreVariant,
} from '../../core/explain/heat-score';
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
  readonly head?: string;
  readonly null?: readonly string[];
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
    .option('--head <mask>', 'the head mask of roi/head (default: the Otsu head mask of --image)')
    .option(
      '--null <masks...>',
      "other patients' lesion masks in the space of the map, for the null; the mirrored lesion is always in it",
    )
    .addOption(new Option('--variant <name>', 'one variant alone').choices([...HEAT_SCORE_VARIANTS]))
    .option('--json', 'JSON on standard output')
    .action(run);
}

async function run(flags: HeatScoreFlags): Promise<void> {
  const { volume: heat } = await readNifti(flags.cam);
  const roi = await maskOnGrid(flags.roi, heat);
  const head = await headOf(flags, heat);
  const { brain, source } = await brainOf(flags, heat, head);
  const names = { heat: flags.cam, roi: flags.roi, brain: flags.brain ?? source, head: flags.head };
  const scores = scoreMap({ heat, roi, brain, head, names });
  const otherMasks = [];
  for (const id of flags.null ?? []) otherMasks.push({ id, mask: await otherLesion(id, heat) });
  const chance = nullScores({ heat, roi, brain, otherMasks });
  const chosen = flags.variant === undefined ? scores.heatScores : [heatScoreOf(scores, flags.variant)];
  const observed = chance.observed;
  if (flags.json) {
    printJson({
      cam: flags.cam,
      roi: { file: flags.roi, ...scores.roi },
      brain: { source, ...scores.brain },
      scores: chosen,
      companions: scores.companions,
      null: {
        variant: chance.variant,
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
  print('');
  for (const { kind, from, score } of chance.scores)
    print(
      `null roi/brain, ${kind === 'mirrored' ? 'the lesion mask mirrored' : from}: ${number(score)} (chance 1)`,
    );
  if (chance.summary && chance.summary.n > 1)
    print(
      `null 95th percentile ${number(chance.summary.p95)} (n = ${chance.summary.n}): ${number(observed)} is ${exceedsNull(observed, chance.summary) ? 'above' : 'NOT above'} it`,
    );
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
  if (head)
    return {
      brain: head,
      source: flags.head === undefined ? `head mask (Otsu) of ${flags.image}` : `head mask ${flags.head}`,
    };
  return {
    brain: wholeGrid(heat),
    source: 'the whole grid (give --brain or --image: air makes the score too good)',
  };
}

async function headOf({ head, image }: HeatScoreFlags, heat: Volume): Promise<Mask | undefined> {
  if (head !== undefined) return maskOnGrid(head, heat);
  if (image === undefined) return undefined;
  const { volume } = await readNifti(image);
  return resample(headMask(volume), heat, 'nearest');
}

/** A mask that misses the map's grid altogether would silently leave the null. */
async function otherLesion(path: string, heat: Volume): Promise<Mask> {
  const mask = await maskOnGrid(path, heat);
  if (mask.data.includes(1)) return mask;
  throw new InputError(
    `--null ${path} has no voxel on the grid of the map: it is empty or lies in another space. Leave it out, or register it first.`,
  );
}

function number(value: number | null): string {
  return value === null ? '-' : value.toPrecision(4);
}

function yes(value: boolean | null): string {
  return value === null ? '-' : value ? 'yes' : 'no';
}
