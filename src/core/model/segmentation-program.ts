import type { ConvAttrs, Triple } from '../engine/ops/kernels';
import { GEOMETRIES } from './geometry';
import {
  buildProgram,
  type Instruction,
  type ParameterInfo,
  type Program,
  type ProgramForm,
  type ValueId,
} from './program';
import type { NetworkSpec } from './spec';

/** The part of a segmentation network that is its own. */
export interface DecoderSpec {
  /** One output channel each, in this order. */
  readonly tasks: readonly string[];
  /** Channels of the decoder at full resolution; twice as many at the coarsest of its levels, at most. */
  readonly channels: number;
}

/** Names of tensors of a segmentation network that are not the encoder's begin with one of these. */
export const DECODER_TENSOR = /^(decoder|head)\./;

/**
 * A classifier's encoder, step for step and name for name, with a light decoder in the place of its pooling and `fc`:
 * from the deepest features upward each level is projected (1x1x1), resized (trilinear) to the grid of the level below,
 * added to a projection of the encoder's features there and smoothed (3x3x3); at the finest level the scan itself takes
 * the encoder's place. One shared decoder ends in one 1x1x1 convolution with bias whose output channel `t` is the head
 * of task `t`. Med3D (Chen et al. 2019) has a decoder per data set; here all tasks are drawn on the same heads, so that
 * a decoder per task would compute the same features once for each of them.
 */
export function buildSegmentationProgram(
  spec: NetworkSpec,
  decoder: DecoderSpec,
  form: Pick<ProgramForm, 'fused'> = { fused: true },
): Program {
  const encoder = buildProgram(spec, { ...form, wholeStem: true });
  return new Decoder(encoder, spec, decoder).build();
}

interface Level {
  /** Voxels of the scan per cell. */
  readonly stride: Triple;
  readonly value: ValueId;
}

/** The deepest features at each resolution, the scan included, from fine to coarse. */
function levelsOf(encoder: Program, spec: NetworkSpec): Level[] {
  const geometry = GEOMETRIES[spec.geometry];
  const valueOf = (layer: string): ValueId => {
    const value = encoder.layers.get(layer);
    if (value === undefined) throw new Error(`The encoder has no value for ${layer}.`);
    return value;
  };
  const times = ([d, h, w]: Triple, by: number): Triple => [d * by, h * by, w * by];
  let stride: Triple = geometry.stem.stride;
  const all: Level[] = [
    { stride: [1, 1, 1], value: 0 },
    { stride, value: valueOf('relu') },
  ];
  if (geometry.pool) stride = times(stride, 2);
  geometry.strides.forEach((by, stage) => {
    stride = times(stride, by);
    all.push({ stride, value: valueOf(`layer${stage + 1}`) });
  });
  return all.filter(({ stride: at }, n) => n === all.length - 1 || all[n + 1].stride.join() !== at.join());
}

class Decoder {
  private readonly instructions: Instruction[];
  private readonly layers: Map<string, ValueId>;
  private readonly parameters: ParameterInfo[];
  private readonly norms: Map<string, number>;
  private readonly channels: number[];
  private readonly levels: readonly Level[];

  constructor(
    encoder: Program,
    spec: NetworkSpec,
    private readonly decoder: DecoderSpec,
  ) {
    const classifier = new Set(['avgpool', 'fc']);
    this.instructions = encoder.instructions.filter(({ name }) => !classifier.has(name));
    this.parameters = encoder.parameters.filter(({ name }) => !name.startsWith('fc.'));
    const dropped = encoder.instructions.length - this.instructions.length;
    this.channels = encoder.channels.slice(0, encoder.channels.length - dropped);
    this.layers = new Map([...encoder.layers].filter(([name]) => !classifier.has(name)));
    this.norms = new Map(encoder.norms);
    this.levels = levelsOf(encoder, spec);
  }

  build(): Program {
    const { levels } = this;
    let value = levels[levels.length - 1].value;
    for (let level = levels.length - 2; level >= 0; level--) value = this.up(level, value);
    const scores = this.conv('head', value, this.decoder.tasks.length, 1);
    const biased = this.value(this.decoder.tasks.length);
    this.parameters.push({ name: 'head.bias', shape: [this.decoder.tasks.length], kind: 'bias' });
    this.emit({ op: 'bias', name: 'head', from: scores, to: biased });
    const { instructions, layers, parameters, norms, channels } = this;
    return { instructions, layers, parameters, norms, channels };
  }

  /** Features of `level`, of the coarser ones and of the encoder's there. */
  private up(level: number, coarser: ValueId): ValueId {
    const name = `decoder.${level}`;
    const channels = this.width(level);
    const skip = this.levels[level].value;
    const projected = this.conv(`${name}.project`, coarser, channels, 1);
    const resized = this.value(channels);
    this.emit({ op: 'resize', name: `${name}.resize`, from: projected, to: resized, like: skip });
    const lateral = this.conv(`${name}.skip`, skip, channels, skip === 0 ? 3 : 1);
    const joined = this.norm(`${name}.bn1`, lateral, resized);
    return this.norm(`${name}.bn2`, this.conv(`${name}.smooth`, joined, channels, 3));
  }

  private width(level: number): number {
    const coarsest = Math.max(1, this.levels.length - 2);
    return Math.round(this.decoder.channels * (1 + level / coarsest));
  }

  private conv(name: string, from: ValueId, channels: number, size: number): ValueId {
    const to = this.value(channels);
    const padding = (size - 1) / 2;
    const attrs: ConvAttrs = {
      stride: [1, 1, 1],
      padding: [padding, padding, padding],
      dilation: [1, 1, 1],
    };
    this.parameters.push({
      name: `${name}.weight`,
      shape: [channels, this.channels[from], size, size, size],
      kind: 'filter',
    });
    this.emit({ op: 'conv', name, from, to, attrs });
    return to;
  }

  private norm(name: string, from: ValueId, residual?: ValueId): ValueId {
    const channels = this.channels[from];
    const to = this.value(channels);
    this.norms.set(name, channels);
    this.parameters.push(
      { name: `${name}.weight`, shape: [channels], kind: 'gamma' },
      { name: `${name}.bias`, shape: [channels], kind: 'beta' },
    );
    this.emit({ op: 'norm', name, from, to, residual, relu: true });
    return to;
  }

  private emit(instruction: Instruction): void {
    this.instructions.push(instruction);
    this.layers.set(instruction.name, instruction.to);
  }

  private value(channels: number): ValueId {
    this.channels.push(channels);
    return this.channels.length - 1;
  }
}
