import { join } from 'node:path';
import { InputError } from '../../errors';
import { writeJson } from '../../files/whole';
import { Random } from '../../random';
import type { Group } from '../cohort';
import { BidsWriter, type Progress } from '../plant/bids-writer';
import { brightnessFactor } from '../plant/lesion-signs';
import { makePhantomHead, phantomGrid } from './head';
import { PHANTOM_STRUCTURES } from './structures';

export interface PhantomCohortRequest {
  /** A new or empty folder. */
  readonly out: string;
  /** How many cases; half of them have a lesion. Default 40. */
  readonly subjects?: number;
  /**
   * Draw every head twice, with its lesion and without it, as planted cohorts do: half as many heads, but a network
   * learns from the difference alone. Default: every case is a head of its own.
   */
  readonly twins?: boolean;
  /** Voxels along the longest side. Default 64 (3.5 mm). */
  readonly size?: number;
  readonly seed?: number;
  /** 0 (bright lesions) to 1 (no change of brightness). Default 0.5. */
  readonly difficulty?: number;
  readonly onProgress?: (progress: Progress) => void;
  readonly signal?: AbortSignal;
}

interface Person {
  /** Number of the head that is drawn, from 1. */
  readonly head: number;
  readonly group: Group;
  readonly sex: 'F' | 'M';
  readonly age: number;
}

/**
 * Writes a BIDS cohort of heads that never were a person. Byte for byte the same for the same settings. Every pair of a
 * patient and a control shares sex and age, and both come out of the same generator: only the lesion tells them apart.
 */
export async function writePhantomCohort(request: PhantomCohortRequest): Promise<void> {
  const { out, subjects = 40, twins = false, size = 64, seed = 1, difficulty = 0.5 } = request;
  const grid = phantomGrid(size);
  brightnessFactor(difficulty); // refuses an impossible difficulty before anything is written
  if (!Number.isInteger(subjects) || subjects < 2 || subjects > 99999)
    throw new InputError(
      `A phantom cohort of ${subjects} heads cannot be made; give a whole number from 2 on.`,
    );
  if (twins && subjects % 2 !== 0)
    throw new InputError(
      `Twins come in pairs: ${subjects} cases cannot be made of them; give an even number.`,
    );
  if (!Number.isInteger(seed)) throw new InputError(`The seed is ${seed}; give a whole number.`);
  const writer = await BidsWriter.open(
    out,
    {
      name: 'FCD phantom: synthetic heads, half of them with a lesion like FCD type II',
      readme: README,
      settings: { kind: twins ? 'phantom twins' : 'phantom', subjects, size, seed, difficulty },
      labels: PHANTOM_STRUCTURES,
      columns: {
        source:
          'the head this case stems from, by seed and number; without twins every case is a head of its own',
        ...(twins && { twin: 'the head with its lesion and without it' }),
        sex: 'F or M, drawn; a patient and a control share it',
        age: 'years, drawn; a patient and a control share it',
      },
    },
    subjects,
    request.onProgress,
    request.signal,
  );
  const people = drawPeople(subjects, twins, Random.seeded(seed, 'phantom', 'people'));
  for (const [index, { head, group, sex, age }] of people.entries()) {
    writer.checkStopped();
    const subject = index + 1;
    const place = { seed, subject: head, ...grid };
    const { t1w, flair, brain, labels, lesion } = makePhantomHead(place, { group, difficulty });
    // Names the head whatever cohort it is drawn into: weights that have seen it are known by that name, and no
    // sub-00001 of another data set is taken for it.
    const source = `phantom-${seed}-head-${head}`;
    const row = { source, ...(twins && { twin: source }), sex, age };
    await writer.add(subject, { row, group, t1w, flair, brain, labels, roi: lesion?.mask });
  }
  await writeJson(join(out, 'derivatives', 'labels', 'tasks.json'), SEGMENTATION_TASKS);
  await writer.close();
}

/** Each structure as a task for `fcd pretrain`, on the T1w images of this very cohort. */
const SEGMENTATION_TASKS = {
  schema: 1,
  modality: 'T1w',
  cohort: '../..',
  tasks: PHANTOM_STRUCTURES.map(({ number, name }) => ({ kind: 'task', name, labels: [number] })),
};

/**
 * Patients and controls in equal number (one control more where it is odd), in random order, paired in sex and age; as
 * twins the pair is one head.
 */
function drawPeople(count: number, twins: boolean, random: Random): Person[] {
  const people: Omit<Person, 'head'>[] = [];
  while (people.length < count) {
    const sex = random.pick(['F', 'M'] as const);
    const age = 8 + random.integer(50);
    people.push({ group: 'control', sex, age });
    if (people.length < count) people.push({ group: 'fcd', sex, age });
  }
  if (twins) return random.shuffled(people.map((person, index) => ({ ...person, head: 1 + (index >> 1) })));
  return random.shuffled(people).map((person, index) => ({ ...person, head: index + 1 }));
}

const README = `Synthetic heads, drawn by FCD Lens. No person was examined; nothing here is for diagnosis.

Each head has its own proportions, folds, ventricles and tissue signals, in T1w and FLAIR, with partial volume, texture,
a bias field and Rician noise. Patients have one lesion with signs of focal cortical dysplasia type II: cortex thickened
by 2 to 4 mm, a smeared grey-white junction, raised FLAIR signal, a lower T1w contrast, and in 40 % a funnel toward the
ventricle; 1 to 30 ml, mostly frontal. At difficulty 0.5 the FLAIR signal is 10 to 30 % over normal cortex, at 0 twice as
much, at 1 not at all: there a lesion is normal tissue in the wrong place. A control is drawn by the same generator
without that step.

sub-*_FLAIR_roi: voxels where the lesion stands at half strength or more and which it alters (cortex, white matter of
which at least a fifth turns grey, the funnel). derivatives/labels: 23 structures, the anatomy before the lesion, named
in dseg.tsv and listed as segmentation tasks in tasks.json. derivatives/masks: the brain, ventricles included, CSF around it excluded.`;
