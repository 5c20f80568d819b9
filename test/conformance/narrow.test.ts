import { afterAll, beforeAll, describe, it } from 'vitest';
import { closeEngine, openEngine } from '../../src/core/engine/choose';
import type { EngineOptions } from '../../src/core/engine/engine';
import { MODULES, compileModule } from '../../src/core/engine/wasm/modules';
import { expectAgreement, peerOf, referenceOf } from './agreement';
import { CASES } from './cases';
import type { Reference } from './reference';

// Narrow networks on tiny grids go through every kind of layer, on every engine and every build of its kernels. The cpu
// engine has none of our kernels, so there the compositions of tfjs-core's operations are tested.
const narrow = CASES.filter(({ thorough }) => thorough);
const references = new Map<string, Reference>();

interface Engine {
  readonly name: string;
  readonly options: EngineOptions;
  /** Why this machine cannot run it. */
  readonly lacking?: string;
}

const engines: readonly Engine[] = [
  { name: 'cpu', options: { engine: 'cpu' } },
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
