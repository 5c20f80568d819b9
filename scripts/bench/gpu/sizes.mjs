// What is measured on a GPU: `full` is what the networks of the field take, `tiny` what a processor that plays a GPU can do
// in a minute, to see that the benchmark itself works.
import { whole } from '../whole-case.mjs';

const SCAN = [160, 256, 256];

/**
 * A whole scan's training: volumes at once are chosen so that a step stays within so many bytes, and the sides are measured
 * one after the other, for together they may be more than the GPU holds.
 */
const scan = (arch, geometry) => whole('step', arch, geometry, SCAN, 8, { memory: 24e9, alone: true });

const tiny = { width: 0.125 };

export const SIZES = {
  full: {
    cases: [
      whole('step', 'resnet18', 'paper', 96, 8),
      whole('step', 'resnet18', 'medicalnet', 96, 8),
      whole('step', 'resnet50', 'paper', 96, 8),
      whole('inference', 'resnet18', 'paper', SCAN, 1),
      whole('gradcam', 'resnet18', 'paper', SCAN, 1),
      scan('resnet18', 'paper'),
      scan('resnet18', 'medicalnet'),
      scan('resnet50', 'paper'),
      scan('resnet50', 'medicalnet'),
    ],
    networks: [
      whole('network', 'resnet18', 'paper', 96, 8),
      whole('network', 'resnet18', 'medicalnet', 96, 8),
      whole('network', 'resnet50', 'paper', 96, 8),
    ],
    layer: { repeats: 3, leastMs: 20 },
  },
  tiny: {
    cases: [
      whole('step', 'resnet10', 'paper', 16, 2, tiny),
      whole('inference', 'resnet10', 'paper', [16, 20, 24], 1, tiny),
      whole('gradcam', 'resnet10', 'paper', [16, 20, 24], 1, tiny),
      whole('step', 'resnet10', 'paper', [16, 20, 24], 4, {
        ...tiny,
        memory: 24e6,
        microBatch: 2,
        alone: true,
      }),
    ],
    networks: [whole('network', 'resnet10', 'paper', 16, 2, tiny)],
    layer: { repeats: 1, leastMs: 1 },
  },
};
