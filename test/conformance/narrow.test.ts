import { afterAll, beforeAll, describe, it } from 'vitest';
import { closeEngine, openEngine } from '../../src/core/engine/choose';
import type { EngineOptions } from '../../src/core/engine/engine';
import { MODULES, compileModule } from '../../src/core/engine/wasm/modules';
import { installStandIn } from '../unit/engine/tensorflow-stand-in';
import { expectAgreement, peerOf, referenceOf } from './agreement';
import { CASES } from './cases';
import type { Reference } from './reference';

// Narrow networks on tiny grids go through every kind of layer, on every engine and every build of its kernels. The engine
// tensorflow has none of our kernels: there the compositions of tfjs-core's operations are tested. Its library runs on no
// machine of ours, so tfjs's cpu backend computes in its place, with the kernels that the real package registers and no
// others.
const narrow = CASES.filter(({ thorough }) => thorough);
const references = new Map<string, Reference>();

interface Engine {
  readonly name: string;
  readonly options: EngineOptions;
  /** Why this machine cannot run it. */
  readonly lacking?: string;
}

const standIn = installStandIn();
afterAll(standIn.remove);

const engines: readonly Engine[] = [
  {
    name: 'tensorflow (computed by the cpu backend of tfjs)',
    options: { engine: 'tensorflow', tensorflow: { named: standIn.folder } },
  },
  ...MODULES.map((module): Engine => {
    const compiled = compileModule(module);
    const lacking = 'reason' in compiled ? compiled.reason : undefined;
    return { name: `wasm ${module.name}`, options: { engine: 'wasm', module: module.name }, lacking };
  }),
];

describe.each(engines)('the engine $name', ({ name, options, lacking }) => {
  if (lacking) {
    it.skip(`agrees with PyTorch: skipped, ${lacking}`, () => {});
    return;
  }
  beforeAll(async () => {
    await openEngine(options);
  });
  afterAll(closeEngine);

  for (const given of narrow)
    it(`agrees with ${peerOf(given)} on ${given.name}`, async () => {
      const reference = references.get(given.name) ?? referenceOf(given);
      references.set(given.name, reference);
      await expectAgreement(given, reference, name);
    });
});
