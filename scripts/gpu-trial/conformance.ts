// Networks on an engine beside what PyTorch computed once (the fixtures of the conformance tests), without a test runner:
// `node conformance.js --engine webgpu --precision f32 --fixtures FOLDER --out FILE CASE...`
import { parseArgs } from 'node:util';
import { closeEngine, openEngine } from '../../src/core/engine/choose';
import { messageOf } from '../../src/core/errors';
import { buildProgram } from '../../src/core/model/program';
import { writeJson } from '../../src/core/files/whole';
import { CASES, specOf, volumesOf, type Case } from '../../test/conformance/cases';
import { engineResults } from '../../test/conformance/engine-results';
import { FixtureReference, tolerance, type Deviation } from '../../test/conformance/reference';
import { openGpu } from '../bench/gpu/gpu-in-use';
import type { Precision } from '../bench/requests';

/** Half precision agrees to this share of a tensor's largest value. */
const HALF_TOLERANCE = 2e-2;

interface CaseRecord {
  readonly name: string;
  readonly seconds: number;
  readonly right: boolean;
  readonly tensors?: number;
  /** The tensor that is furthest from what is allowed. */
  readonly worst?: { readonly name: string; readonly error: number; readonly allowed: number };
  /** Tensors that are off by more than is allowed. */
  readonly apart?: number;
  /** Largest error of each kind of tensor, as a share of its largest value. */
  readonly errors?: Readonly<Record<string, number>>;
  readonly failed?: string;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    engine: { type: 'string', default: 'webgpu' },
    precision: { type: 'string', default: 'f32' },
    fixtures: { type: 'string' },
    out: { type: 'string' },
  },
});
const { engine, precision, fixtures, out } = values;
if ((engine !== 'webgpu' && engine !== 'wasm') || (precision !== 'f32' && precision !== 'f16') || !out)
  throw new Error(
    'Usage: conformance.js [--engine webgpu|wasm] [--precision f32|f16] [--fixtures DIR] --out FILE [CASE...]',
  );
const unknown = positionals.filter((name) => !CASES.some((given) => given.name === name));
if (unknown.length > 0) throw new Error(`There is no case ${unknown.join(', ')}.`);

const cases = CASES.filter(
  ({ name, files }) => !files && (positionals.length === 0 || positionals.includes(name)),
);
const records: CaseRecord[] = [];
await open(engine, precision);
for (const given of cases) {
  const record = await tried(given, precision);
  records.push(record);
  const { name, right, seconds, worst, failed } = record;
  const told =
    failed ??
    (worst &&
      `${worst.name} off by ${worst.error.toExponential(1)} of ${worst.allowed.toExponential(1)} allowed`);
  console.log(`${name} ${right ? 'right' : 'WRONG'} in ${seconds.toFixed(1)} s: ${told}`);
  await writeJson(out, { engine, precision, of: cases.length, cases: records });
}
await closeEngine();
const wrong = records.filter(({ right }) => !right).length;
if (wrong > 0) console.log(`${wrong} of ${records.length} networks disagree with PyTorch.`);
process.exit(wrong > 0 ? 1 : 0);

async function open(name: 'webgpu' | 'wasm', of: Precision): Promise<void> {
  if (name === 'webgpu') await openGpu({ precision: of });
  else await openEngine({ engine: 'wasm' });
}

async function tried(given: Case, of: Precision): Promise<CaseRecord> {
  const start = performance.now();
  const seconds = () => (performance.now() - start) / 1000;
  try {
    const deviations = await deviationsOf(given);
    const allowed = (one: Deviation) =>
      of === 'f16' ? Math.max(HALF_TOLERANCE, 3 * one.own) : tolerance(one);
    const excess = (one: Deviation) => one.error / allowed(one);
    const worst = deviations.reduce((a, b) => (excess(b) > excess(a) || Number.isNaN(b.error) ? b : a));
    const apart = deviations.filter((one) => !(one.error <= allowed(one))).length;
    return {
      name: given.name,
      seconds: seconds(),
      right: apart === 0,
      tensors: deviations.length,
      worst: { name: worst.name, error: worst.error, allowed: allowed(worst) },
      apart,
      errors: errorsByKind(deviations),
    };
  } catch (error) {
    return { name: given.name, seconds: seconds(), right: false, failed: messageOf(error) };
  }
}

async function deviationsOf(given: Case): Promise<Deviation[]> {
  const parameters = buildProgram(specOf(given), { fused: true }).parameters.map(({ name }) => name);
  const reference = FixtureReference.read(given, given.optimiser ? parameters : [], fixtures);
  return reference.deviations(await engineResults(given, await volumesOf(given), reference.scales));
}

function errorsByKind(deviations: readonly Deviation[]): Record<string, number> {
  const errors: Record<string, number> = {};
  for (const { name, error } of deviations) {
    const kind = name.slice(0, name.indexOf('/'));
    errors[kind] = Math.max(errors[kind] ?? 0, error);
  }
  return errors;
}
