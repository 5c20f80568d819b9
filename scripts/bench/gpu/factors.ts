import { gpu } from './gpu-in-use';

/** Entry `i` of what {@link fill} makes: in [-1/2, 1/2), exact in half precision, without a pattern. */
export function factor(i: number, salt: number): number {
  let bits = (Math.imul(i, 0x9e3779b1) ^ Math.imul(salt, 0x85ebca6b)) >>> 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x7feb352d) >>> 0;
  bits = Math.imul(bits ^ (bits >>> 15), 0x846ca68b) >>> 0;
  return (bits >>> 24) / 256 - 0.5;
}

const TEXT = (element: 'f32' | 'f16') => `${element === 'f16' ? 'enable f16;' : ''}
@group(0) @binding(0) var<storage, read_write> filled: array<${element}>;
@group(0) @binding(1) var<uniform> size: vec4<u32>;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) at: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  for (var i = at.x; i < size.x; i += groups.x * 256u) {
    var bits = (i * 0x9e3779b1u) ^ (size.y * 0x85ebca6bu);
    bits = (bits ^ (bits >> 16u)) * 0x7feb352du;
    bits = (bits ^ (bits >> 15u)) * 0x846ca68bu;
    filled[i] = ${element}(f32(bits >> 24u) / 256.0 - 0.5);
  }
}`;

/** Fills a buffer of the open GPU with `count` values that {@link factor} knows. */
export function fill(buffer: GPUBuffer, element: 'f32' | 'f16', count: number, salt: number): void {
  const program = { key: `bench fill ${element}`, wgsl: () => TEXT(element) };
  const groups = Math.max(1, Math.min(1024, Math.ceil(count / 256)));
  gpu().dispatch(program, [buffer], [groups], Uint32Array.of(count, salt, 0, 0).buffer);
}
