/** A number that a uniform holds as f32; plain numbers are whole (u32 or i32). */
export interface Float {
  readonly float: number;
}

/** 4-byte words in the order of a uniform's fields. Vectors must begin at a multiple of 16 bytes: the caller sees to it. */
export function words(...values: readonly (number | Float)[]): ArrayBuffer {
  const buffer = new ArrayBuffer(4 * values.length);
  const view = new DataView(buffer);
  values.forEach((value, i) => {
    if (typeof value === 'number') view.setInt32(4 * i, value, true);
    else view.setFloat32(4 * i, value.float, true);
  });
  return buffer;
}

export const float = (value: number): Float => ({ float: value });
