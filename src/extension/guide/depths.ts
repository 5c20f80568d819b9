import type { ARCHITECTURES } from '../tasks/task-definition';
import type { Choice } from './questions';

/** The depths of network that a guide offers. */
export const DEPTHS: readonly Choice<(typeof ARCHITECTURES)[number]>[] = [
  {
    label: 'ResNet-10',
    description: 'basic blocks; the fastest, for trying things out',
    value: 'resnet10',
  },
  { label: 'ResNet-18', description: 'basic blocks; used in the study', value: 'resnet18' },
  { label: 'ResNet-34', description: 'basic blocks; used in the study', value: 'resnet34' },
  { label: 'ResNet-50', description: 'bottlenecks; used in the study, the slowest', value: 'resnet50' },
];
