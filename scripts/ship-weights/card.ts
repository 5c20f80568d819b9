import type { PretrainingRecord } from '../../src/core/transfer/pretraining-record';
import { describeSpec } from '../../src/core/model/spec';
import type { ShippedEncoder } from '../../src/core/transfer/ship-encoder';
import type { CatalogueEntry } from '../../src/protocol/catalogue';
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
  return { mean: means.reduce((a, b) => a + b) / means.length, heads: participants.heldOut.length };
}
