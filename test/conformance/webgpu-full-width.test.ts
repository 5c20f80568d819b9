import { CASES } from './cases';
import { webgpuAgreesOn } from './webgpu';

// All channels; volumes of real heads are a matter of minutes (test/slow).
webgpuAgreesOn(
  'lavapipe',
  CASES.filter(({ name }) => name === '18-A-compact'),
);
