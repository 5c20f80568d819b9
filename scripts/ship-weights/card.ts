import type { PretrainingRecord } from '../../src/core/transfer/pretraining-record';
import { describeSpec } from '../../src/core/model/spec';
import type { ShippedEncoder } from '../../src/core/transfer/ship-encoder';
import type { CatalogueEntry, CatalogueHead } from '../../src/protocol/catalogue';
import type { ShippedPlan } from './plan';

/** What is said of every file, beyond what its checkpoint knows. */
export interface AboutData {
  /** Half a sentence for lists: `23 structures of 60 phantoms`. */
  readonly data: string;
  /** A paragraph for the card: where the images come from, and how to make them again. */
  readonly origin: string;
  readonly licence: string;
}

/** The catalogue's entry of a file. @throws Error where the checkpoint does not fit the plan */
export function entryOf(plan: ShippedPlan, shipped: ShippedEncoder, about: AboutData): CatalogueEntry {
  const { spec } = shipped.meta;
  const record = recordOf(shipped);
  const promised = plan.strategy === 'multi:23' ? 23 : 1;
  if (spec.arch !== plan.arch || record.tasks.length !== promised)
    throw new Error(
      `${plan.name}: a ${spec.arch} of ${record.tasks.length} tasks was made, ${plan.arch} of ${promised} was planned.`,
    );
  const { arch, geometry, shortcut, width, axes, inChannels } = spec;
  return {
    strategy: plan.strategy,
    tasks: [...record.tasks],
    ...{ arch, geometry, shortcut, width, axes, inChannels },
    modality: record.modality,
    file: `${plan.name}.safetensors`,
    bytes: shipped.bytes,
    sha256: shipped.sha256,
    card: `cards/${plan.name}.md`,
    data: about.data,
    dice: diceOf(record),
    licence: about.licence,
  };
}

/** The catalogue's entry of a whole segmentation network. @throws Error where the checkpoint has not one task of this name */
export function headEntryOf(task: string, shipped: ShippedEncoder, about: AboutData): CatalogueHead {
  const record = recordOf(shipped);
  if (record.tasks.join() !== task)
    throw new Error(`${task}: a network of ${record.tasks.join(', ')} was made.`);
  const { arch, geometry, shortcut, width, axes, inChannels } = shipped.meta.spec;
  return {
    task,
    ...{ arch, geometry, shortcut, width, axes, inChannels },
    modality: record.modality,
    file: `${task}.safetensors`,
    bytes: shipped.bytes,
    sha256: shipped.sha256,
    card: `cards/${task}.md`,
    data: about.data,
    dice: diceOf(record),
    licence: about.licence,
  };
}

/** The model card of a network that makes masks. */
export function headCardOf(entry: CatalogueHead, shipped: ShippedEncoder, about: AboutData): string {
  const record = recordOf(shipped);
  const { shape, spacing } = record.grid;
  const [{ mean, low, high, n }] = record.dice;
  const number = (value: number | null): string => value?.toFixed(3) ?? 'not measured';
  const { trained, heldOut } = record.participants;
  return `# ${entry.file}

Segmentation network (a ${describeSpec(shipped.meta.spec)} with decoder and one head): what of a scan lies inside the skull.
It makes the brain mask of scans that bring none (recipe \`mask: intracranial\`). For research, not for diagnosis.

- **Data**: ${about.origin}
- **Saw**: ${shape.join(' x ')}, voxels of ${spacing?.join(' x ') ?? 'each scan'} mm; ${trained.length} images of ${headsOf(trained)} heads to learn from, ${heldOut.length} of ${headsOf(heldOut)} held out. sha256 of images and label maps: \`${record.data}\`.
- **Command**: \`fcd ${record.command.join(' ')}\`
- **Seed** ${record.seed}; ${record.steps} steps, ${record.samplesSeen} volumes.${record.secondsOfCompute === undefined ? '' : ` ${Math.round(record.secondsOfCompute)} s of compute.`}
- **Use**: every scan is normalised by its own statistics, as in training (batches of one image); of the scores above 0 the largest part that hangs together, holes filled, no lower below its top than it is wide, and without what hangs on it by less than 24 mm (src/core/intracranial/segment-inside.ts). With running statistics, as a classifier uses them, it is not to be used.
- **Format**: safetensors, filters in float16, all else in float32; ${shipped.tensors} tensors, ${entry.bytes} bytes, sha256 \`${entry.sha256}\`.
- **Licence**: ${entry.licence}.
- **Limits**: it has seen drawn heads only. On real heads it was measured (models/README.md); where what it says is not plausible, Otsu's head mask serves, and that is said.

Dice on held-out images, as it is used, on their own grid: **${number(mean)}** (95 % over heads ${number(low)} to ${number(high)}, ${n} images).
`;
}

/** How many heads some images (\`head-1_T1w\`) are of. */
function headsOf(images: readonly string[]): number {
  return new Set(images.map((id) => id.replace(/_(T1w|FLAIR)$/, ''))).size;
}

/** The model card: what a person should know before building on these weights. */
export function cardOf(entry: CatalogueEntry, shipped: ShippedEncoder, about: AboutData): string {
  const record = recordOf(shipped);
  const { shape, spacing } = record.grid;
  const size = spacing === null ? "each scan's own voxels" : `voxels of ${spacing.join(' x ')} mm`;
  const dice = record.dice.map(({ task, mean, low, high, n }) => {
    const interval = low === null || high === null ? '' : `${low.toFixed(2)} to ${high.toFixed(2)}`;
    return `| ${task} | ${mean === null ? 'not measured' : mean.toFixed(3)} | ${interval} | ${n} |`;
  });
  const mean = entry.dice === null ? 'not measured' : entry.dice.mean.toFixed(3);
  return `# ${entry.file}

Encoder of a ${describeSpec(shipped.meta.spec)}, pre-trained on segmentation: ${entry.strategy}. Use it with
\`fcd train --init ${entry.strategy}\` or as a file. For research, not for diagnosis.

- **Data**: ${about.origin}
- **Saw**: ${record.modality}, ${shape.join(' x ')}, ${size}; ${record.participants.trained.length} heads to learn from, ${record.participants.heldOut.length} held out. sha256 of images and label maps: \`${record.data}\`.
- **Command**: \`fcd ${record.command.join(' ')}\`
- **Seed** ${record.seed}; ${record.steps} steps, ${record.samplesSeen} volumes.${record.secondsOfCompute === undefined ? '' : ` ${Math.round(record.secondsOfCompute)} s of compute.`}
- **Format**: safetensors with PyTorch's and MedicalNet's names; filters in float16, batch normalisation in float32; ${shipped.tensors} tensors, ${entry.bytes} bytes, sha256 \`${entry.sha256}\`. No decoder, no classifier.
- **Licence**: ${entry.licence}.
- **Limits**: what these weights know comes from drawn heads, not from people. They let the strategies be tried from a clone; they are no substitute for an encoder that has seen real scans.

Mean Dice over ${record.tasks.length === 1 ? 'the one task' : `${record.tasks.length} tasks`} on held-out heads: **${mean}**.

| task | Dice | 95 % over heads | heads |
| --- | --: | --- | --: |
${dice.join('\n')}
`;
}

function recordOf({ meta }: ShippedEncoder): PretrainingRecord {
  if (!meta.pretraining) throw new Error('The checkpoint has no record of its pre-training.');
  return meta.pretraining;
}

/** Mean over tasks that were measured, and the heads they were measured on; null where there are none. */
function diceOf({ dice, participants }: PretrainingRecord): CatalogueEntry['dice'] {
  const means = dice.flatMap(({ mean }) => (mean === null ? [] : [mean]));
  if (means.length === 0 || participants.heldOut.length === 0) return null;
  return { mean: means.reduce((a, b) => a + b) / means.length, heads: headsOf(participants.heldOut) };
}
