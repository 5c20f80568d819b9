import { resolve } from 'node:path';
import type { Command } from 'commander';
import { GROUPS, HEAD_MODALITIES } from '../../core/cohort/cohort';
import { writePhantomCohort } from '../../core/cohort/phantom/write-phantom-cohort';
import { plantCohort } from '../../core/cohort/plant/plant-cohort';
import { readCohort } from '../../core/cohort/read-cohort';
import { summarizeCohort, type CohortSummary } from '../../core/cohort/summary';
import { numberWithin, wholeNumber } from '../options';
import { Progress, print, printJson, stopOnInterrupt, table, tell } from '../terminal';

/** phantom, plant, cohort: making and reading cohorts. */
export function addCohortCommands(fcd: Command): void {
  addPhantom(fcd);
  addPlant(fcd);
  fcd
    .command('cohort')
    .argument('<dir>', 'a BIDS directory, or a .csv or .tsv manifest')
    .description('what is in a cohort, and what is wrong with it')
    .option('--json', 'JSON on standard output')
    .action(async (path: string, flags: { json?: boolean }) => {
      const summary = await summarizeCohort(await readCohort(path));
      if (flags.json) printJson(summary);
      else print(forPeople(summary));
    });
}

interface PhantomFlags {
  readonly out: string;
  readonly subjects: number;
  readonly twins?: boolean;
  readonly size: number;
  readonly seed: number;
  readonly difficulty: number;
}

function addPhantom(fcd: Command): void {
  fcd
    .command('phantom')
    .description('a BIDS cohort of heads that never were a person, half of them with an FCD type II')
    .requiredOption('--out <dir>', 'a new or empty folder')
    .option('--subjects <n>', 'how many cases', wholeNumber(2), 40)
    .option('--twins', 'draw every head with its lesion and without it: half as many heads')
    .option('--size <voxels>', 'voxels along the longest side, from 32 to 256', wholeNumber(32, 256), 64)
    .option('--seed <n>', 'the same seed makes the same bytes', wholeNumber(0), 1)
    .option(
      '--difficulty <0..1>',
      '0: twice as bright as published, 0.5: as published, 1: no change of brightness at all',
      numberWithin(0, 1),
      0.5,
    )
    .action(async (flags: PhantomFlags) => {
      const progress = new Progress();
      await writePhantomCohort({
        ...flags,
        out: resolve(flags.out),
        signal: stopOnInterrupt(),
        onProgress: ({ done, total }) => progress.update('Making heads', done, total, `${done} of ${total}`),
      });
      progress.end();
      tell(
        `${flags.subjects} cases in ${resolve(flags.out)}. Next: fcd experiment --cohort ${flags.out} --out RUNS`,
      );
    });
}

interface PlantFlags {
  readonly images: string;
  readonly labels: string;
  readonly out: string;
  readonly seed: number;
  readonly copies: number;
  readonly strength: number;
  readonly difficulty: number;
}

function addPlant(fcd: Command): void {
  fcd
    .command('plant')
    .description(
      'FCD-like lesions planted by a stated rule in real T1w heads with label maps; each has a healthy twin',
    )
    .requiredOption('--images <dir>', 'folder of T1w heads (*_T1.nii.gz)')
    .requiredOption('--labels <dir>', 'folder of their label maps (*_DLMUSE.nii.gz)')
    .requiredOption('--out <dir>', 'a new or empty folder')
    .option('--seed <n>', 'the same seed makes the same bytes', wholeNumber(0), 1)
    .option('--copies <n>', 'warped copies of each head', wholeNumber(1), 6)
    .option('--strength <s>', 'how strong the signs are; 1 is as published', numberWithin(0, 5), 1)
    .option(
      '--difficulty <0..1>',
      '0: twice as bright as published, 0.5: as published, 1: no change of brightness at all',
      numberWithin(0, 1),
      0.5,
    )
    .action(async (flags: PlantFlags) => {
      const progress = new Progress();
      await plantCohort({
        ...flags,
        out: resolve(flags.out),
        signal: stopOnInterrupt(),
        onProgress: ({ done, total }) =>
          progress.update('Planting lesions', done, total, `${done} of ${total}`),
      });
      progress.end();
      tell(`Planted twins in ${resolve(flags.out)}. Next: fcd experiment --cohort ${flags.out} --out RUNS`);
    });
}

function forPeople(summary: CohortSummary): string {
  const rows = GROUPS.map((group) => {
    const of = summary.groups[group];
    return [
      group,
      String(of.cases),
      String(of.sources),
      ...HEAD_MODALITIES.map((modality) => String(of.usable[modality])),
      String(of.masks),
      String(of.brainMasks),
    ];
  });
  const findings = summary.findings.map(({ severity, message, file, line }) => {
    const where = file ? ` (${file}${line ? `:${line}` : ''})` : '';
    return `${severity}: ${message}${where}`;
  });
  return [
    `${summary.root} (${summary.kind}): ${summary.cases} cases of ${summary.sources} heads`,
    '',
    table(['group', 'cases', 'heads', ...HEAD_MODALITIES, 'lesion masks', 'brain masks'], rows),
    ...(findings.length > 0 ? ['', ...findings] : ['', 'Nothing is wrong with it.']),
    '',
    `fingerprint ${summary.fingerprint}`,
  ].join('\n');
}
