// Networks on an engine beside what PyTorch computed once (the fixtures of the conformance tests), in half precision beside
// single precision on the same GPU, without a test runner:
// `node conformance.js --engine webgpu --precision f32 --fixtures FOLDER --out FILE CASE...`
import { parseArgs } from 'node:util';
import { closeEngine, openEngine } from '../../src/core/engine/choose';
import type { Precision } from '../../src/core/engine/engine';
import { messageOf } from '../../src/core/errors';
import { buildProgram } from '../../src/core/model/program';
import { writeJson } from '../../src/core/files/whole';
import { CASES, specOf, volumesOf, type Case } from '../../test/conformance/cases';
import { engineResults } from '../../test/conformance/engine-results';
import {
  LAYERS,
  LOSS_SCALE,
  SMOOTH,
  lengthApart,
  mostApart,
  pairs,
  throughRectifiers,
} from '../../test/conformance/half-agreement';
import { FixtureReference, tolerance } from '../../test/conformance/reference';
import { inSinglePrecision, openGpu } from '../bench/gpu/gpu-in-use';

interface CaseRecord {
  readonly name: string;
  readonly seconds: number;
  readonly right: boolean;
  /** What is furthest from what is allowed: a tensor, or in half precision a kind of tensor. */
  readonly worst?: Difference;
  /** How many are off by more than is allowed, and of how many. */
  readonly apart?: readonly [number, number];
  /** Largest error of each kind of tensor. */
  readonly errors?: Readonly<Record<string, number>>;
  readonly failed?: string;
}

/** A tensor, or a kind of tensor, beside what it should be: a share of its largest value or of its length. */
interface Difference {
  readonly name: string;
  readonly error: number;
  readonly allowed: number;
}

async function tried(given: Case, of: Precision): Promise<CaseRecord> {
  const start = performance.now();
  const seconds = () => (performance.now() - start) / 1000;
  try {
    const differences = await (of === 'f16' ? besideSingle(given) : besidePyTorch(given));
    const excess = ({ error, allowed }: Difference) => error / allowed;
    const apart = differences.filter(({ error, allowed }) => !(error <= allowed));
    return {
      name: given.name,
      seconds: seconds(),
      right: apart.length === 0,
      worst: differences.reduce((a, b) => (excess(b) > excess(a) || Number.isNaN(b.error) ? b : a)),
      apart: [apart.length, differences.length],
      errors: errorsByKind(differences),
    };
  } catch (error) {
    return { name: given.name, seconds: seconds(), right: false, failed: messageOf(error) };
  }
}

/** Single precision: every tensor beside what PyTorch computed once, in double precision. */
async function besidePyTorch(given: Case): Promise<Difference[]> {
  const reference = FixtureReference.read(given, given.optimiser ? parametersOf(given) : [], fixtures);
  const results = await engineResults(given, await volumesOf(given), reference.scales);
  return reference
    .deviations(results)
    .map((one) => ({ name: one.name, error: one.error, allowed: tolerance(one) }));
}

/** Half precision: every kind of tensor beside single precision on the same GPU. */
async function besideSingle(given: Case): Promise<Difference[]> {
  const batch = await volumesOf(given);
  // Moments of any size do: the optimiser computes in single precision anyway.
  const scales = new Map(parametersOf(given).map((name) => [name, 1]));
  const single = await inSinglePrecision(() => engineResults(given, batch, scales));
  const half = await engineResults(given, batch, scales, { lossScale: LOSS_SCALE });
  const kinds = [...new Set([...single.keys()].map(kindOf))].filter((kind) => kind in HALF_MEASURES);
  return kinds.map((kind) => {
    const error = HALF_MEASURES[kind](pairs(half, single, kind));
    const forward = HALF_MEASURES[kind] === mostApart;
    return { name: `${kind}/`, error, allowed: forward ? SMOOTH : throughRectifiers(LAYERS[given.arch]) };
  });
}

const HALF_MEASURES: Readonly<Record<string, typeof mostApart>> = {
  evaluation: mostApart,
  training: mostApart,
  running: mostApart,
  map: lengthApart,
  placed: lengthApart,
  gradient: lengthApart,
  'evaluation-gradient': lengthApart,
  input: lengthApart,
};

const parametersOf = (given: Case): string[] =>
  buildProgram(specOf(given), { fused: true }).parameters.map(({ name }) => name);

const kindOf = (name: string): string => name.slice(0, name.indexOf('/'));

function errorsByKind(differences: readonly Difference[]): Record<string, number> {
  const errors: Record<string, number> = {};
  for (const { name, error } of differences)
    errors[kindOf(name)] = Math.max(errors[kindOf(name)] ?? 0, error);
  return errors;
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
if (engine === 'webgpu') await openGpu({ precision });
else await openEngine({ engine });
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
if (wrong > 0) console.log(`${wrong} of ${records.length} networks disagree.`);
process.exit(wrong > 0 ? 1 : 0);
