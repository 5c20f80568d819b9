import { afterAll, beforeAll, describe, it } from 'vitest';
import { closeEngine, openEngine } from '../../src/core/engine/choose';
import { haveSoftwareGpu, useSoftwareGpu, type SoftwareGpu } from '../software-gpu';
import { expectAgreement, peerOf, referenceOf } from './agreement';
import { haveVolumes, type Case } from './cases';

/** Where tfjs's kernels stand in for ours, SwiftShader takes minutes for a dilated network. */
const PATIENCE_MS = 600_000;

/** The engine webgpu on a driver that computes on the processor. A file per driver: Dawn looks for GPUs once. */
export function webgpuAgreesOn(driver: SoftwareGpu, cases: readonly Case[]): void {
  describe.runIf(haveSoftwareGpu(driver))(`the engine webgpu on ${driver}`, () => {
    beforeAll(async () => {
      useSoftwareGpu(driver);
      await openEngine({ engine: 'webgpu' });
    });
    afterAll(closeEngine);

    for (const given of cases) {
      const absent = haveVolumes(given) ? '' : `: skipped, ${given.files?.join(' and ')} not in shared/data`;
      it.skipIf(absent)(
        `agrees with ${peerOf(given)} on ${given.name}${absent}`,
        async () => expectAgreement(given, referenceOf(given), `webgpu on ${driver}`),
        PATIENCE_MS,
      );
    }
  });
}
