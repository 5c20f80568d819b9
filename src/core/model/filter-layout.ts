/** OIDHW (PyTorch, files) -> DHWIO (in memory). `shape` is O, I, D, H, W. */
export function toDhwio(data: Float32Array, shape: readonly number[]): Float32Array {
  const [o, i, d, h, w] = shape;
  const taps = d * h * w;
  const out = new Float32Array(data.length);
  for (let a = 0; a < o; a++)
    for (let b = 0; b < i; b++) {
      const from = (a * i + b) * taps;
      const to = b * o + a;
      for (let t = 0; t < taps; t++) out[t * i * o + to] = data[from + t];
    }
  return out;
}

/** DHWIO -> OIDHW. `shape` is O, I, D, H, W, as in {@link toDhwio}. */
export function toOidhw(data: Float32Array, shape: readonly number[]): Float32Array {
  const [o, i, d, h, w] = shape;
  const taps = d * h * w;
  const out = new Float32Array(data.length);
  for (let a = 0; a < o; a++)
    for (let b = 0; b < i; b++) {
      const to = (a * i + b) * taps;
      const from = b * o + a;
      for (let t = 0; t < taps; t++) out[to + t] = data[t * i * o + from];
    }
  return out;
}
