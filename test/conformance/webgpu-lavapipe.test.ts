import { CASES } from './cases';
import { webgpuAgreesOn } from './webgpu';

webgpuAgreesOn(
  'lavapipe',
  CASES.filter(({ thorough }) => thorough),
);
