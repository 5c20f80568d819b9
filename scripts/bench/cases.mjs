// What is measured as a whole: networks as they are trained and looked into.
import { whole } from './whole-case.mjs';

/** `step`: forward, backward and the optimiser. `threads`: the same step with one thread and with all. */
export const CASES = [
  whole('step', 'resnet18', 'paper', 64, 4),
  whole('step', 'resnet18', 'paper', 96, 4),
  whole('step', 'resnet18', 'medicalnet', 64, 4),
  whole('step', 'resnet18', 'medicalnet', 96, 4),
  whole('step', 'resnet50', 'paper', 64, 2),
  whole('inference', 'resnet18', 'paper', [160, 256, 256], 1),
  whole('gradcam', 'resnet18', 'paper', [160, 256, 256], 1),
  whole('threads', 'resnet18', 'paper', 64, 4),
];
