import { InputError } from '../errors';
import { bareName, USUAL_PREFIXES } from '../weights/load-report';
import { GEOMETRIES, type GeometryName } from './geometry';
import { BLOCKS, buildProgram } from './program';
import { networkSpec, WIDTHS, type Architecture, type NetworkSpec, type Shortcut } from './spec';
import { expectedTensors } from './weights-of-network';

type Shapes = ReadonlyMap<string, { readonly shape: readonly number[] }>;

/** What names and shapes of a file tell of the 3D ResNet that it belongs to. */
export interface Recognised {
  readonly arch: Architecture;
  /** `A` stands for `A-detached` too: neither has tensors. */
  readonly shortcut: Extract<Shortcut, 'A' | 'B'>;
  readonly width: number;
  readonly inChannels: number;
  /** Rows of the classifier; absent where the file has none. */
  readonly classes?: number;
  /** Geometries whose tensors these can be. Strides and dilations leave no trace in a tensor, so there may be several. */
  readonly geometries: readonly GeometryName[];
  /** What MedicalNet's segmentation head is called by, where the file has one. */
  readonly segmentationHead: boolean;
}

/** Deeper ones that MedicalNet publishes too, by blocks per stage. */
const TOO_DEEP: Readonly<Record<string, string>> = { '3-8-36-3': 'ResNet-152', '3-24-36-3': 'ResNet-200' };

/**
 * Recognises depth, shortcut type, width, channels and possible geometries of a ResNet with PyTorch's names.
 * @throws InputError that says what the file is not
 */
export function recogniseNetwork(tensors: Shapes): Recognised {
  const bare = bareShapes(tensors);
  const stem = bare.get('conv1.weight');
  const stages = [1, 2, 3, 4].map((stage) => blocksOf(stage, bare));
  if (stem === undefined || stages.some((blocks) => blocks.size === 0)) throw notAResNet(tensors);
  if (stem.length !== 5)
    throw new InputError(
      `This is a ResNet for ${stem.length - 2}D images: conv1.weight is [${stem.join(', ')}], where a 3D network has five axes ` +
        `(out, in, depth, height, width). Give weights of a 3D-ResNet.`,
    );
  const bottleneck = bare.has('layer1.0.conv3.weight');
  const counts = stages.map((blocks, i) => countOf(blocks, i + 1));
  const arch = (Object.keys(BLOCKS) as Architecture[]).find(
    (name) => BLOCKS[name].bottleneck === bottleneck && BLOCKS[name].counts.join() === counts.join(),
  );
  if (arch === undefined) throw unknownDepth(bottleneck, counts);
  const width = WIDTHS.find((share) => 64 * share === stem[0]);
  if (width === undefined)
    throw new InputError(
      `Its first convolution has ${stem[0]} channels; networks here have ${WIDTHS.map((share) => 64 * share).join(', ')} ` +
        `(width 1, 1/2, 1/4, 1/8).`,
    );
  const shortcut = [...bare.keys()].some((name) => DOWNSAMPLE.test(name)) ? 'B' : 'A';
  const classifier = bare.get('fc.weight');
  const classes = classifier?.length === 2 ? classifier[0] : undefined;
  const fits = (Object.keys(GEOMETRIES) as GeometryName[]).map((geometry) => {
    const spec = networkSpec({ arch, geometry, shortcut, width, inChannels: stem[1], classes });
    return { geometry, fault: faultOf(spec, bare) };
  });
  const geometries = fits.filter(({ fault }) => fault === undefined).map(({ geometry }) => geometry);
  if (geometries.length === 0) throw new InputError(damagedNetwork(arch, shortcut, fits[0].fault ?? ''));
  const segmentationHead = [...bare.keys()].some((name) => name.startsWith('conv_seg.'));
  return { arch, shortcut, width, inChannels: stem[1], classes, geometries, segmentationHead };
}

/** Tensors of a projection in a shortcut, prefixes taken off: only type B has them. */
export const DOWNSAMPLE = /^layer[1-4]\.\d+\.downsample\./;

/** Classifier: it belongs to the task the weights were trained for. */
export const CLASSIFIER = /^fc\./;

/**
 * Refuses weights of one shortcut type for a network of the other: without this a type-B network would keep its
 * projections random, and a type-A network would drop trained ones, both without a word.
 * @throws InputError that says what to do
 */
export function requireSameShortcut(spec: NetworkSpec, tensors: Shapes): void {
  const names = [...bareShapes(tensors).keys()];
  if (!names.some((name) => /^layer[1-4]\.\d+\.conv1\.weight$/.test(name))) return;
  const found = names.filter((name) => DOWNSAMPLE.test(name));
  const expected = expectedTensors(buildProgram(spec, { fused: true })).filter(({ name }) =>
    DOWNSAMPLE.test(name),
  );
  if (expected.length > 0 && found.length === 0)
    throw new InputError(
      `These weights are of shortcut type A (no downsample tensors), the network is of type ${spec.shortcut}: its ${expected.length} downsample tensors ` +
        `would stay random. Use --shortcut A with these weights.`,
    );
  if (expected.length === 0 && found.length > 0 && spec.shortcut !== 'B')
    throw new InputError(
      `These weights are of shortcut type B (${found.length} downsample tensors, such as ${found[0]}), the network is of type ${spec.shortcut}: ` +
        `they would be dropped, and what was trained with them would not fit. Use --shortcut B with these weights.`,
    );
}

function bareShapes(tensors: Shapes): Map<string, readonly number[]> {
  const bare = new Map<string, readonly number[]>();
  for (const [name, { shape }] of tensors) {
    const short = bareName(name, USUAL_PREFIXES);
    // A name that needs no cutting wins, as when tensors are matched.
    if (!bare.has(short) || short === name) bare.set(short, shape);
  }
  return bare;
}

/** Numbers of the blocks that a stage has tensors of. */
function blocksOf(stage: number, bare: ReadonlyMap<string, unknown>): Set<number> {
  const found = new Set<number>();
  for (const name of bare.keys()) {
    const match = /^layer(\d)\.(\d{1,4})\.(?:conv|bn|downsample)/.exec(name);
    if (match && Number(match[1]) === stage) found.add(Number(match[2]));
  }
  return found;
}

function countOf(blocks: ReadonlySet<number>, stage: number): number {
  for (let block = 0; block < blocks.size; block++)
    if (!blocks.has(block))
      throw new InputError(
        `Its layer${stage} has no block ${block}, but block ${Math.max(...blocks)}: a part of the network is missing. Save the whole state_dict().`,
      );
  return blocks.size;
}

function unknownDepth(bottleneck: boolean, counts: readonly number[]): InputError {
  const known = bottleneck ? TOO_DEEP[counts.join('-')] : undefined;
  return new InputError(
    known
      ? `This is ${known}, which is not among the networks here. Use ResNet-10, -18, -34, -50 or -101.`
      : `Its stages have ${counts.join(', ')} ${bottleneck ? 'bottleneck' : 'basic'} blocks, which is none of ResNet-10, -18, -34, -50 and -101.`,
  );
}

/** Why these tensors cannot be those of a network; undefined where they can. A classifier may be missing or another. */
function faultOf(spec: NetworkSpec, bare: ReadonlyMap<string, readonly number[]>): string | undefined {
  const wanted = new Set<string>();
  for (const { name, shape } of expectedTensors(buildProgram(spec, { fused: true }))) {
    wanted.add(name);
    const found = bare.get(name);
    if (CLASSIFIER.test(name) || (found === undefined && !FILTER.test(name))) continue;
    if (found === undefined) return `${name} is missing`;
    if (found.join() !== shape.join())
      return `${name} is [${found.join(', ')}] where [${shape.join(', ')}] is due`;
  }
  const extra = [...bare.keys()].find((name) => FILTER.test(name) && !wanted.has(name));
  return extra === undefined ? undefined : `${extra} has no place in it`;
}

/** Convolutions of the encoder. */
const FILTER = /^(conv1|layer[1-4]\.\d+\.(conv\d|downsample\.0))\.weight$/;

function damagedNetwork(arch: Architecture, shortcut: string, fault: string): string {
  return (
    `Its names are those of a ResNet-${arch.slice('resnet'.length)} with shortcut ${shortcut}, but the tensors do not fit: ${fault}. ` +
    `Save the whole state_dict() of the network.`
  );
}

function notAResNet(tensors: Shapes): InputError {
  const all = [...tensors];
  const filters = all.filter(([, { shape }]) => shape.length === 5).length;
  const flat = all.filter(([, { shape }]) => shape.length === 4).length;
  const what =
    filters > 0
      ? `${filters} of 3D convolutions`
      : flat > 0
        ? `${flat} of 2D convolutions`
        : 'none of a convolution';
  const named = all.slice(0, 3).map(([name, { shape }]) => `${name} [${shape.join(', ')}]`);
  return new InputError(
    `This is not a 3D-ResNet as MedicalNet, MONAI or torchvision name it: it has ${all.length} tensors (${what}), such as ${named.join(', ')}, ` +
      `where conv1.weight and layer1.0.conv1.weight to layer4 are expected. Give the state_dict of a 3D-ResNet.`,
  );
}
