import { afterAll, beforeAll, it } from 'vitest';
import { closeEngine, openEngine } from '../../src/core/engine/choose';
import { expectAgreement, peerOf, referenceOf } from './agreement';
import { haveVolumes, type Case } from './cases';

/** Full width: logits, all gradients, an optimiser's step, running statistics and class maps, on the engine users get. */
export function agreesOn(cases: readonly Case[]): void {
  let engine = '';
  beforeAll(async () => {
    const { name, module } = await openEngine();
    engine = `${name} ${module ?? ''}`.trim();
  });
  afterAll(closeEngine);

  for (const given of cases) {
    const absent = haveVolumes(given) ? '' : `: skipped, ${given.files?.join(' and ')} not in shared/data`;
    it.skipIf(absent)(`agrees with ${peerOf(given)} on ${given.name}${absent}`, async () => {
      await expectAgreement(given, referenceOf(given), engine);
    });
  }
}
