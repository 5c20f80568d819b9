import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'vitest';
import { buildProgram } from '../../src/core/model/program';
import { havePython } from '../peers';
import { specOf, volumesOf, type Case } from './cases';
import { engineResults } from './engine-results';
import { FixtureReference, LiveReference, tolerance, type Deviation, type Reference } from './reference';

/** What the engine is held to on this machine, for the names of tests. */
export function peerOf(given: Case): string {
  return live(given) ? 'PyTorch' : 'what PyTorch computed once (python3-torch is not installed)';
}

function live(given: Case): boolean {
  const needs = given.files ? ['torch', 'nibabel'] : ['torch'];
  return needs.every(havePython);
}

/** The reference of a case: PyTorch where it is installed, which then also has to confirm the committed fixture. */
export function referenceOf(given: Case): Reference {
  const parameters = buildProgram(specOf(given), { fused: true }).parameters.map(({ name }) => name);
  const fixture = FixtureReference.read(given, given.optimiser ? parameters : []);
  if (!live(given)) return fixture;
  const computed = LiveReference.compute(given);
  const stale = fixture.deviations(computed.tensors).filter(({ error }) => !(error <= 1e-5));
  expect(stale, 'PyTorch computes other values than those in fixtures/').toEqual([]);
  expect(fixture.scales).toEqual(computed.scales);
  return computed;
}

/** Runs a case on the engine that is open and holds every tensor to the reference; nothing may leak. */
export async function expectAgreement(given: Case, reference: Reference, engine: string): Promise<void> {
  const batch = await volumesOf(given);
  const before = tf.memory().numTensors;
  const deviations = reference.deviations(await engineResults(given, batch, reference.scales));
  expect(tf.memory().numTensors, 'tensors left behind').toBe(before);
  if (process.env.FCD_CONFORMANCE_TABLE) console.info(table(given, engine, deviations));
  const apart = deviations
    .filter((deviation) => !(deviation.error <= tolerance(deviation)))
    .map(
      (d) =>
        `${d.name}: ${d.error.toExponential(1)} of its largest value, allowed ${tolerance(d).toExponential(1)}`,
    );
  expect(apart).toEqual([]);
}

/** Worst error per group of tensors; for people, with FCD_CONFORMANCE_TABLE=1. */
function table(given: Case, engine: string, deviations: readonly Deviation[]): string {
  const groups = new Map<string, Deviation[]>();
  for (const deviation of deviations) {
    const group = deviation.name.slice(0, deviation.name.indexOf('/'));
    groups.set(group, [...(groups.get(group) ?? []), deviation]);
  }
  const cells = [...groups].map(([group, members]) => {
    const worst = Math.max(...members.map(({ error }) => error));
    const own = Math.max(...members.map((member) => member.own));
    return `${group} ${worst.toExponential(1)} (torch ${own.toExponential(1)})`;
  });
  return `${given.name} on ${engine}: ${cells.join(', ')}`;
}
