// The engine's machine without tfjs around it, bundled into dist/bench/machine.js: single kernels, for tests and trials.
export { closeEngine, openEngine } from '../../src/core/engine/choose';
export { physicalCores } from '../../src/core/engine/cores';
export {
  convolve,
  convolveFilterGradient,
  convolveInputGradient,
} from '../../src/core/engine/wasm/convolution';
export { Machine } from '../../src/core/engine/wasm/machine';
export { MODULES, compileModule } from '../../src/core/engine/wasm/modules';
export { convSizes } from '../../src/core/engine/wasm/reference';
export { convFlops, geometryOf, selfTest, timeConvolution } from '../../src/core/engine/wasm/self-test';
