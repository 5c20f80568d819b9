const triple = (sizes) => (new Set(sizes).size === 1 ? `${sizes[0]}^3` : sizes.join('x'));

/** `2 x 3^3 stride 2^3, 64 to 128 at 24^3`: a convolution that occurs so often in a network. */
export function layerName({ kernel, stride, inChannels, outChannels, input, dilation, times }) {
  const strided = Math.max(...stride) > 1 ? ` stride ${triple(stride)}` : '';
  const dilated = Math.max(...dilation) > 1 ? ` dilation ${dilation[0]}` : '';
  return `${times} x ${triple(kernel)}${strided}${dilated}, ${inChannels} to ${outChannels} at ${triple(input)}`;
}
