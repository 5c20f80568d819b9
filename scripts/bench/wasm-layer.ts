import { engineMachine } from '../../src/core/engine/choose';
import {
  convolve,
  convolveFilterGradient,
  convolveInputGradient,
} from '../../src/core/engine/wasm/convolution';
import { convSizes } from '../../src/core/engine/wasm/reference';
import { convFlops, geometryOf } from '../../src/core/engine/wasm/self-test';
import type { LayerRequest } from './requests';

/** Times of a convolution's passes on the wasm engine, kernels alone. */
export function wasmLayer(request: LayerRequest): object {
  const machine = engineMachine();
  const geometry = geometryOf(
    request.batch,
    request.input,
    [request.inChannels, request.outChannels],
    request.kernel,
    request,
  );
  const { heap } = machine;
  const sizes = convSizes(geometry);
  const lengths = [sizes.x, sizes.filter, sizes.y, sizes.y, sizes.x, sizes.filter];
  return heap.withScratch(
    lengths.map((length) => length * 4),
    (x, filter, dy, y, dx, dfilter) => {
      [x, filter, dy].forEach((address, i) => fillWaves(heap.float32(address, lengths[i])));
      const passes = {
        forward: () => convolve(machine, geometry, x, filter, y),
        'input gradient': () => convolveInputGradient(machine, geometry, dy, filter, dx),
        'filter gradient': () => convolveFilterGradient(machine, geometry, x, dy, dfilter),
      };
      const times = request.passes.map((pass) => {
        passes[pass]();
        return [pass, Array.from({ length: request.repeats }, () => timed(passes[pass]))];
      });
      return { ...Object.fromEntries(times), flops: convFlops(geometry) };
    },
  );
}

function fillWaves(view: Float32Array<ArrayBufferLike>): void {
  for (let i = 0; i < view.length; i++) view[i] = Math.sin(i * 0.7) * 0.5;
}

function timed(run: () => void): number {
  const start = performance.now();
  run();
  return performance.now() - start;
}
