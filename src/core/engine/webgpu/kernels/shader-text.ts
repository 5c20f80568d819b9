/** A storage buffer as a program declares it. */
export interface Binding {
  readonly name: string;
  readonly type: string;
  readonly access?: 'read' | 'read_write';
}

/**
 * Declarations of storage buffers at group 0, in their order. WebGPU derives the layout from what a program uses: every
 * buffer that is declared must be read or written, so a variant that needs fewer declares fewer.
 */
export function storage(bindings: readonly Binding[]): string {
  return bindings
    .map(
      ({ name, type, access = 'read' }, at) =>
        `@group(0) @binding(${at}) var<storage, ${access}> ${name}: array<${type}>;`,
    )
    .join('\n');
}

/** Extensions of WGSL that a text begins with. */
export const directivesText = (extensions: readonly string[]): string =>
  extensions.map((extension) => `enable ${extension};`).join('\n');

/** The uniform behind `bindings` storage buffers: a struct of these fields. */
export function uniform(bindings: number, fields: string): string {
  return `struct Sizes { ${fields} }\n@group(0) @binding(${bindings}) var<uniform> sizes: Sizes;`;
}

/** Workgroups along one axis at most: WebGPU's limit everywhere is 65535. */
const ROW = 32_768;

/** Lays `count` workgroups out in two dimensions. {@link ENTRY} numbers them; a few at the end may have nothing to do. */
export function laidOut(count: number): readonly [number, number] {
  return count <= ROW ? [Math.max(1, count), 1] : [ROW, Math.ceil(count / ROW)];
}

/** Parameters of every entry point: a workgroup is number `group.y * groups.x + group.x`. */
export const ENTRY =
  '@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32';

export const GROUP = 'group.y * groups.x + group.x';

/** Neighbours that a thread takes at a time: with four, memory is read and written 16 bytes at once, and places found once. */
export type Lanes = 1 | 4;

/** Four where all of these sizes allow it: numbers of channels, and of elements. */
export const lanesFor = (...sizes: readonly number[]): Lanes =>
  sizes.every((size) => size % 4 === 0) ? 4 : 1;

/** `T` and `I`: so many floats and whole numbers. Buffers, channels and counts are then in units of them. */
export const laneTypes = (lanes: Lanes): string =>
  lanes === 4 ? 'alias T = vec4<f32>;\nalias I = vec4<i32>;' : 'alias T = f32;\nalias I = i32;';

/** {@link laneTypes}, and `H`: as many halves, where a buffer has them. They come in fours. */
export const laneTypesWith = (halves: boolean, lanes: Lanes): string =>
  halves ? `enable f16;\n${laneTypes(lanes)}\nalias H = vec4<f16>;` : laneTypes(lanes);

/** An entry point whose body runs for every `i` below `sizes.count`. Threads of a workgroup take neighbours: coalesced. */
export function forEach(body: string): string {
  return `
@compute @workgroup_size(${EACH})
fn main(${ENTRY}) {
  let i = (${GROUP}) * ${EACH}u + thread;
  if (i >= sizes.count) { return; }
${body}
}`;
}

/** Threads per workgroup of {@link forEach}: whole warps or waves on every GPU, and the least that WebGPU guarantees. */
export const EACH = 256;

/** Workgroups for {@link forEach}. */
export const forEachGroups = (count: number) => laidOut(Math.ceil(count / EACH));

/** Copies of a text, one per number below `count`, for loops that must be unrolled to keep arrays in registers. */
export function unrolled(count: number, text: (i: number) => string): string {
  return Array.from({ length: count }, (_, i) => text(i)).join('\n');
}
