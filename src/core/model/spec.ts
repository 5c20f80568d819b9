import * as v from 'valibot';
import { InputError } from '../errors';
import { GEOMETRIES, type GeometryName } from './geometry';

export const ARCHITECTURES = ['resnet10', 'resnet18', 'resnet34', 'resnet50', 'resnet101'] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

/**
 * Where a block's input cannot be added as it is: `A` subsamples and appends zero channels (gradient flows through),
 * `A-detached` does the same without a gradient (as the original MedicalNet code did), `B` is a 1x1x1 convolution
 * with batch normalisation.
 */
export const SHORTCUTS = ['A', 'A-detached', 'B'] as const;
export type Shortcut = (typeof SHORTCUTS)[number];

/** Which voxel axis is the tensor's depth: `ijk` D = left-right i; `kji` D = inferior-superior k. */
export const AXES = ['ijk', 'kji'] as const;
export type Axes = (typeof AXES)[number];

/** Everything that decides a network's function apart from its weights. */
export interface NetworkSpec {
  readonly arch: Architecture;
  readonly geometry: GeometryName;
  readonly shortcut: Shortcut;
  /** Scales all channels: 1, 1/2, 1/4, 1/8. */
  readonly width: number;
  readonly axes: Axes;
  readonly inChannels: number;
  readonly classes: number;
}

export const WIDTHS = [1, 0.5, 0.25, 0.125] as const;

/** Fills in what a person left out: shortcut A for 18 and 34, B otherwise; axes kji for medicalnet, ijk otherwise. */
export function networkSpec(given: Partial<NetworkSpec> & { readonly arch: Architecture }): NetworkSpec {
  const geometry = given.geometry ?? 'paper';
  return {
    arch: given.arch,
    geometry,
    shortcut: given.shortcut ?? (given.arch === 'resnet18' || given.arch === 'resnet34' ? 'A' : 'B'),
    width: given.width ?? 1,
    axes: given.axes ?? (geometry === 'medicalnet' ? 'kji' : 'ijk'),
    inChannels: given.inChannels ?? 1,
    classes: given.classes ?? 2,
  };
}

const schema = v.object({
  arch: v.picklist(ARCHITECTURES),
  geometry: v.picklist(Object.keys(GEOMETRIES) as GeometryName[]),
  shortcut: v.picklist(SHORTCUTS),
  width: v.picklist(WIDTHS),
  axes: v.picklist(AXES),
  inChannels: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(16)),
  classes: v.pipe(v.number(), v.integer(), v.minValue(2), v.maxValue(1000)),
});

/** Checks a spec that comes from a file. `where` names the file and field for the error. */
export function parseNetworkSpec(value: unknown, where: string): NetworkSpec {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const issue = result.issues[0];
  throw new InputError(
    `${where}: the network's ${v.getDotPath(issue) ?? 'description'} is not valid: ${issue.message}.`,
  );
}

/** `ResNet-18 (paper, shortcut A, width 1/4, axes ijk)`, for people. */
export function describeSpec(spec: NetworkSpec): string {
  const width = spec.width === 1 ? 'full width' : `width 1/${1 / spec.width}`;
  const depth = spec.arch.replace('resnet', 'ResNet-');
  return `${depth} (${spec.geometry}, shortcut ${spec.shortcut}, ${width}, axes ${spec.axes})`;
}
