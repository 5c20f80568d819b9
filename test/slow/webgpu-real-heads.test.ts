import { CASES } from '../conformance/cases';
import { webgpuAgreesOn } from '../conformance/webgpu';

// Real heads of odd sizes, whole and a training step on blocks of one, by all channels: minutes where the processor pretends to be a GPU.
webgpuAgreesOn(
  'lavapipe',
  CASES.filter(({ name }) => name === 'real-head-18-A-paper' || name === 'real-blocks-18-A-medicalnet'),
);
