import { afterAll, expect, it } from 'vitest';
import { closeEngine, openEngine } from '../../../src/core/engine/choose';

afterAll(closeEngine);

it('chooses the fastest kernels that compute correctly and says why', async () => {
  const t = performance.now();
  const report = await openEngine();
  console.log(report, performance.now() - t);
  expect(report.selfTest.some((trial) => trial.ok)).toBe(true);
});
