import { CASES } from './cases';
import { webgpuAgreesOn } from './webgpu';

webgpuAgreesOn(
  'swiftshader',
  CASES.filter(({ thorough }) => thorough),
);
