/**
 * A first convolution of one input channel spread over several: filters copied and divided by their number, so that
 * equal images in all channels give the response that one image gave.
 */
export const spreadStem = {
  /** [O, 1, D, H, W] becomes [O, channels, D, H, W]; other shapes stay. */
  shape(shape: readonly number[], channels: number): readonly number[] {
    const [outputs, , ...taps] = shape;
    return shape[1] === 1 ? [outputs, channels, ...taps] : shape;
  },

  /** Values of a filter [O, 1, D, H, W], row-major. */
  values(data: Float32Array, shape: readonly number[], channels: number): Float32Array {
    const outputs = shape[0];
    const taps = data.length / outputs;
    const spread = new Float32Array(data.length * channels);
    for (let output = 0; output < outputs; output++)
      for (let channel = 0; channel < channels; channel++)
        for (let tap = 0; tap < taps; tap++)
          spread[(output * channels + channel) * taps + tap] = data[output * taps + tap] / channels;
    return spread;
  },
};
