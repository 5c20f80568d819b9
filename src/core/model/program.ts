import { InputError } from '../errors';
import type { ConvAttrs, Triple } from '../engine/ops/kernels';
import type { PoolAttrs } from '../engine/ops/pool';
import { GEOMETRIES, type Geometry } from './geometry';
import type { NetworkSpec } from './spec';

/** Number of a tensor that flows through a program; 0 is the input. */
export type ValueId = number;

interface Step {
  /** PyTorch's dotted name of the layer whose output this step makes. */
  readonly name: string;
  readonly from: ValueId;
  readonly to: ValueId;
}

export type Instruction =
  | (Step & { readonly op: 'conv'; readonly attrs: ConvAttrs })
  /** Batch normalisation, then the residual is added, then ReLU, then max pooling. */
  | (Step & {
      readonly op: 'norm';
      readonly residual?: ValueId;
      readonly relu: boolean;
      /** A stem's pooling; then without a residual and with ReLU. */
      readonly pool?: PoolAttrs;
    })
  /** Addition and ReLU on their own, where a program is not fused. */
  | (Step & { readonly op: 'join'; readonly residual?: ValueId; readonly relu: boolean })
  | (Step & { readonly op: 'maxpool'; readonly attrs: PoolAttrs })
  | (Step & {
      readonly op: 'subsample';
      readonly stride: Triple;
      readonly channels: number;
      readonly detached: boolean;
    })
  /** Trilinear resizing to the grid of another value. */
  | (Step & { readonly op: 'resize'; readonly like: ValueId })
  /** A number per channel is added: the parameter `<name>.bias`. */
  | (Step & { readonly op: 'bias' })
  | (Step & { readonly op: 'average' })
  | (Step & { readonly op: 'linear' });

/** A parameter: PyTorch's name and PyTorch's shape (OIDHW for filters). */
export interface ParameterInfo {
  readonly name: string;
  readonly shape: readonly number[];
  readonly kind: 'filter' | 'gamma' | 'beta' | 'weight' | 'bias';
}

/** A network as straight-line code: each step reads earlier values and writes a new one. */
export interface Program {
  readonly instructions: readonly Instruction[];
  /** Dotted layer name -> the value that holds its output. Stages (`layer4`) and blocks (`layer4.1`) included. */
  readonly layers: ReadonlyMap<string, ValueId>;
  readonly parameters: readonly ParameterInfo[];
  /** Batch normalisations by name, with channels: each has running_mean and running_var. */
  readonly norms: ReadonlyMap<string, number>;
  /** Channels of each value. */
  readonly channels: readonly number[];
}

const STEM_POOL: PoolAttrs = { size: [3, 3, 3], stride: [2, 2, 2], padding: [1, 1, 1] };

/** Blocks per stage, and of which kind: what a depth is. */
export const BLOCKS: Record<
  NetworkSpec['arch'],
  { readonly counts: readonly number[]; readonly bottleneck: boolean }
> = {
  resnet10: { counts: [1, 1, 1, 1], bottleneck: false },
  resnet18: { counts: [2, 2, 2, 2], bottleneck: false },
  resnet34: { counts: [3, 4, 6, 3], bottleneck: false },
  resnet50: { counts: [3, 4, 6, 3], bottleneck: true },
  resnet101: { counts: [3, 4, 23, 3], bottleneck: true },
};

/**
 * The program of a 3D ResNet (He et al. 2015; MedicalNet's names). Fused programs normalise, add, rectify and (in the
 * stem) pool in one step, so `bn` layers and a pooled stem's `relu` have no value of their own; unfused ones have a
 * value for every layer.
 */
export function buildProgram(spec: NetworkSpec, { fused, wholeStem }: ProgramForm): Program {
  return new Builder(spec, fused, wholeStem ?? false).build();
}

/** How a program is written down; the function that it computes is the same. */
export interface ProgramForm {
  readonly fused: boolean;
  /** Give the stem's `relu` a value of its own, unpooled, in a program that is fused otherwise. */
  readonly wholeStem?: boolean;
}

class Builder {
  private readonly instructions: Instruction[] = [];
  private readonly layers = new Map<string, ValueId>();
  private readonly parameters: ParameterInfo[] = [];
  private readonly norms = new Map<string, number>();
  private readonly channels: number[];

  constructor(
    private readonly spec: NetworkSpec,
    private readonly fused: boolean,
    private readonly wholeStem: boolean,
  ) {
    this.channels = [spec.inChannels];
  }

  build(): Program {
    const { spec } = this;
    const geometry: Geometry = GEOMETRIES[spec.geometry];
    const { counts, bottleneck } = BLOCKS[spec.arch];
    const stem = geometry.stem;
    let value = this.conv('conv1', 0, this.width(geometry.planes[0]), stem.size, stem.stride, 1);
    if (geometry.pool && this.fused && !this.wholeStem) value = this.pooledNorm('bn1', value);
    else {
      value = this.norm('bn1', value, { relu: 'relu' });
      if (geometry.pool) value = this.maxpool(value);
    }
    for (let stage = 0; stage < 4; stage++) {
      const name = `layer${stage + 1}`;
      for (let block = 0; block < counts[stage]; block++) {
        const stride = block === 0 ? geometry.strides[stage] : 1;
        value = this.block(
          `${name}.${block}`,
          value,
          geometry.planes[stage],
          stride,
          geometry.dilations[stage],
          bottleneck,
        );
      }
      this.layers.set(name, value);
    }
    const pooled = this.value(this.channels[value]);
    this.emit({ op: 'average', name: 'avgpool', from: value, to: pooled });
    const logits = this.value(spec.classes);
    this.emit({ op: 'linear', name: 'fc', from: pooled, to: logits });
    this.parameters.push(
      { name: 'fc.weight', shape: [spec.classes, this.channels[pooled]], kind: 'weight' },
      { name: 'fc.bias', shape: [spec.classes], kind: 'bias' },
    );
    const { instructions, layers, parameters, norms, channels } = this;
    return { instructions, layers, parameters, norms, channels };
  }

  private block(
    name: string,
    input: ValueId,
    planes: number,
    stride: number,
    dilation: number,
    bottleneck: boolean,
  ): ValueId {
    const inner = this.width(planes);
    const outer = bottleneck ? inner * 4 : inner;
    const triple: Triple = [stride, stride, stride];
    let value: ValueId;
    if (bottleneck) {
      value = this.conv(`${name}.conv1`, input, inner, 1, [1, 1, 1], 1);
      value = this.norm(`${name}.bn1`, value, { relu: `${name}.relu1` });
      value = this.conv(`${name}.conv2`, value, inner, 3, triple, dilation);
      value = this.norm(`${name}.bn2`, value, { relu: `${name}.relu2` });
      value = this.conv(`${name}.conv3`, value, outer, 1, [1, 1, 1], 1);
    } else {
      value = this.conv(`${name}.conv1`, input, inner, 3, triple, dilation);
      value = this.norm(`${name}.bn1`, value, { relu: `${name}.relu1` });
      value = this.conv(`${name}.conv2`, value, outer, 3, [1, 1, 1], dilation);
    }
    const shortcut = this.shortcut(name, input, outer, triple);
    const last = bottleneck ? 'bn3' : 'bn2';
    value = this.norm(`${name}.${last}`, value, { residual: shortcut, relu: `${name}.relu` });
    this.layers.set(name, value);
    return value;
  }

  private shortcut(name: string, input: ValueId, outer: number, stride: Triple): ValueId {
    if (Math.max(...stride) === 1 && this.channels[input] === outer) return input;
    if (this.spec.shortcut === 'B') {
      const projected = this.conv(`${name}.downsample.0`, input, outer, 1, stride, 1);
      const normal = this.norm(`${name}.downsample.1`, projected, {});
      this.layers.set(`${name}.downsample`, normal);
      return normal;
    }
    const to = this.value(outer);
    const detached = this.spec.shortcut === 'A-detached';
    this.emit({
      op: 'subsample',
      name: `${name}.downsample`,
      from: input,
      to,
      stride,
      channels: outer,
      detached,
    });
    return to;
  }

  private conv(
    name: string,
    from: ValueId,
    channels: number,
    size: number,
    stride: Triple,
    dilation: number,
  ): ValueId {
    const to = this.value(channels);
    const padding = (dilation * (size - 1)) / 2;
    const attrs: ConvAttrs = {
      stride,
      padding: [padding, padding, padding],
      dilation: [dilation, dilation, dilation],
    };
    this.parameters.push({
      name: `${name}.weight`,
      shape: [channels, this.channels[from], size, size, size],
      kind: 'filter',
    });
    this.emit({ op: 'conv', name, from, to, attrs });
    return to;
  }

  private norm(name: string, from: ValueId, after: { residual?: ValueId; relu?: string }): ValueId {
    const channels = this.normParameters(name, from);
    const rectified = after.relu !== undefined;
    if (this.fused || !rectified) {
      const to = this.value(channels);
      this.instructions.push({ op: 'norm', name, from, to, residual: after.residual, relu: rectified });
      this.layers.set(after.relu ?? name, to);
      return to;
    }
    const normal = this.value(channels);
    this.emit({ op: 'norm', name, from, to: normal, relu: false });
    const to = this.value(channels);
    this.emit({
      op: 'join',
      name: after.relu ?? name,
      from: normal,
      to,
      residual: after.residual,
      relu: true,
    });
    return to;
  }

  private normParameters(name: string, from: ValueId): number {
    const channels = this.channels[from];
    this.norms.set(name, channels);
    this.parameters.push(
      { name: `${name}.weight`, shape: [channels], kind: 'gamma' },
      { name: `${name}.bias`, shape: [channels], kind: 'beta' },
    );
    return channels;
  }

  /** A stem's normalisation, rectification and pooling in one step. */
  private pooledNorm(name: string, from: ValueId): ValueId {
    const to = this.value(this.normParameters(name, from));
    this.instructions.push({ op: 'norm', name, from, to, relu: true, pool: STEM_POOL });
    this.layers.set('maxpool', to);
    return to;
  }

  private maxpool(from: ValueId): ValueId {
    const to = this.value(this.channels[from]);
    this.emit({ op: 'maxpool', name: 'maxpool', from, to, attrs: STEM_POOL });
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

  private width(planes: number): number {
    return Math.max(1, Math.round(planes * this.spec.width));
  }
}

/**
 * The program cut into pieces for activation checkpointing: per step the number of its piece. The stem, each residual
 * block and the head are one piece each; what flows from piece to piece is one value.
 */
export function pieces(program: Program): number[] {
  let last = '';
  let piece = -1;
  return program.instructions.map(({ name }) => {
    const block = /^layer\d+\.\d+/.exec(name)?.[0] ?? (piece <= 0 ? 'stem' : 'head');
    if (block !== last) piece++;
    last = block;
    return piece;
  });
}

/** Steps that read each value, by index. */
export function readersOf(program: Program): Map<ValueId, number[]> {
  const readers = new Map<ValueId, number[]>();
  program.instructions.forEach((step, index) => {
    for (const id of inputsOf(step)) readers.set(id, [...(readers.get(id) ?? []), index]);
  });
  return readers;
}

/** The values that a step reads. */
export function inputsOf(step: Instruction): ValueId[] {
  if (step.op === 'resize') return [step.from, step.like];
  const residual = step.op === 'norm' || step.op === 'join' ? step.residual : undefined;
  return residual === undefined ? [step.from] : [step.from, residual];
}

/** Values that only their own piece reads: what checkpointing drops and computes again. */
export function innerValues(program: Program): Set<ValueId> {
  const piece = pieces(program);
  const readers = readersOf(program);
  const inner = new Set<ValueId>();
  program.instructions.forEach(({ to }, index) => {
    const by = readers.get(to);
    if (by && by.every((reader) => piece[reader] === piece[index])) inner.add(to);
  });
  return inner;
}

/**
 * Of {@link innerValues}, those that come out the same where what flows from piece to piece was kept in half precision. A
 * convolution in half precision reads the same numbers either way; means and grids that are resampled do not.
 */
export function innerValuesFromHalves(program: Program): Set<ValueId> {
  const inner = innerValues(program);
  for (const { op, to } of program.instructions) if (op === 'average' || op === 'resize') inner.delete(to);
  return inner;
}

/** Layers whose output is a grid of features: where a class map can be taken. */
export function mappableLayers(spec: NetworkSpec): string[] {
  const program = buildProgram(spec, { fused: false });
  const flat = new Set(['avgpool', 'fc']);
  return [...program.layers.keys()].filter((name) => !flat.has(name));
}

/**
 * The program in which `layer` has a value of its own: the fused one where it does, else the unfused one.
 * @throws InputError that lists the layers that exist
 */
export function programWithLayer(spec: NetworkSpec, layer: string): { program: Program; value: ValueId } {
  for (const fused of [true, false]) {
    const program = buildProgram(spec, { fused });
    const value = program.layers.get(layer);
    if (value !== undefined && layer !== 'avgpool' && layer !== 'fc') return { program, value };
  }
  throw new InputError(
    `There is no layer "${layer}" with a feature grid in ${spec.arch}. Choose one of: ${mappableLayers(spec).join(', ')}.`,
  );
}
