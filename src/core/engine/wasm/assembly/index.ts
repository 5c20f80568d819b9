// The kernels of one module. Each is called on every thread as (thread, threads, address of its job).
export { convolution, packFilter, packFilterTransposed, padRows } from './convolution';
export { filterGradient } from './filter-gradient';
export { transformFilter, multiplyTiles, gatherTiles, multiplySharedTiles, multiplyTilePanels, scatterTiles, multiplyGradientTiles, collectFilterGradient } from './tiled-convolution';
export { sums, gradientSums, affine, affineGradient } from './normalisation';
export { meansOfFirstRows, moments, normFactor, normGradient } from './norm-coefficients';
export { maxPool, affineMaxPool, pooledGradientSums, maxPoolGradient, globalAverage, globalAverageGradient, subsample, subsampleGradient } from './pooling';
export { fillZero, add, multiply, relu, sgd, adam } from './elementwise';
export { transformDepthFilter, depthTiles, depthGradientTiles, collectDepthFilter } from './depth-tiles';
export { resample } from './resample';
export { taskProbabilities, taskGradient } from './task-loss';
export { peak } from './peak';
export { PANEL } from './micro-kernels';
