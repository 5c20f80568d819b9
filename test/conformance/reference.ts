import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { python } from '../peers';
import type { Case } from './cases';
import type { Results } from './engine-results';
import { uniform } from './generator';

const HERE = dirname(fileURLToPath(import.meta.url));

/** How far a tensor is from the reference. */
export interface Deviation {
  readonly name: string;
  /** Largest difference, as a share of the reference's largest value. */
  readonly error: number;
  /** torch-float32's own error against float64, likewise. */
  readonly own: number;
}

/** What PyTorch makes of a case in float64. */
export interface Reference {
  /** Powers of two, by parameter, that the optimiser's moments are made with. */
  readonly scales: ReadonlyMap<string, number>;
  /** @throws Error where a tensor is missing, superfluous or of another size */
  deviations(results: Results): Deviation[];
}

/** Two results agree in single precision (DESIGN.md) where the error is at most this. */
export function tolerance({ own }: Deviation): number {
  return Math.max(1e-4, 3 * own);
}

/** PyTorch, now: compares whole tensors. */
export class LiveReference implements Reference {
  private constructor(
    readonly scales: ReadonlyMap<string, number>,
    readonly tensors: Results,
    private readonly own: ReadonlyMap<string, number>,
  ) {}

  static compute(given: Case): LiveReference {
    const folder = mkdtempSync(join(tmpdir(), 'fcd-conformance-'));
    try {
      const out = join(folder, 'tensors');
      const script = join(HERE, 'torch_peer.py');
      const start = 'import runpy, sys; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name="__main__")';
      const index = JSON.parse(python(start, [script, 'reference', given.name, out])) as {
        readonly tensors: readonly { readonly name: string; readonly size: number; readonly own: number }[];
        readonly scales: Readonly<Record<string, number>>;
      };
      const file = readFileSync(out);
      const tensors: Results = new Map();
      let at = file.byteOffset;
      for (const { name, size } of index.tensors) {
        tensors.set(name, new Float32Array(file.buffer, at, size));
        at += 4 * size;
      }
      const own = new Map(index.tensors.map((tensor) => [tensor.name, tensor.own]));
      return new LiveReference(new Map(Object.entries(index.scales)), tensors, own);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  deviations(results: Results): Deviation[] {
    checkNames([...results.keys()], [...this.tensors.keys()]);
    return [...this.tensors].map(([name, expected]) => {
      const values = results.get(name);
      if (values?.length !== expected.length)
        throw new Error(`${name} has ${values?.length} values; PyTorch has ${expected.length}.`);
      const own = this.own.get(name) ?? 0;
      return { name, own, error: share(largestDifference(values, expected), largest(expected)) };
    });
  }
}

/** Elements that a fixture keeps of one tensor, by group, as torch_peer.py writes them. */
const SAMPLES: Readonly<Record<string, number | undefined>> = {
  gradient: 8,
  change: 4,
  running: 3,
  moment: 2,
  'evaluation-gradient': 4,
};
const SAMPLES_ELSEWHERE = 48;

interface Fixture {
  /** The version of PyTorch that computed it. */
  readonly torch: string;
  /** How many tensors. */
  readonly tensors: number;
  /** Base64 of float32, by parameter in alphabetical order. */
  readonly scales: string;
  /** Per group base64 of float32: for each tensor in alphabetical order max, L2 norm, own error, samples. */
  readonly [group: string]: string | number;
}

/** What PyTorch computed once: compares samples, the maximum and the L2 norm of each tensor. */
export class FixtureReference implements Reference {
  private constructor(
    private readonly fixture: Fixture,
    private readonly parameters: readonly string[],
  ) {}

  static read(given: Case, parameters: readonly string[], folder = join(HERE, 'fixtures')): FixtureReference {
    const text = readFileSync(join(folder, `${given.name}.json`), 'utf8');
    return new FixtureReference(JSON.parse(text) as Fixture, parameters);
  }

  get scales(): ReadonlyMap<string, number> {
    const scales = unpacked(this.fixture.scales);
    return new Map([...this.parameters].sort().map((name, i) => [name, scales[i]]));
  }

  deviations(results: Results): Deviation[] {
    if (results.size !== this.fixture.tensors)
      throw new Error(`There are ${results.size} tensors; PyTorch made ${this.fixture.tensors}.`);
    const deviations: Deviation[] = [];
    const names = [...results.keys()].sort();
    for (const group of new Set(names.map(groupOf))) {
      const records = unpacked(String(this.fixture[group]));
      let at = 0;
      for (const name of names.filter((other) => groupOf(other) === group)) {
        const values = results.get(name) as Float32Array;
        const picked = sampleOf(name, values);
        const [max, norm, own] = records.subarray(at, at + 3);
        const samples = records.subarray(at + 3, at + 3 + picked.length);
        at += 3 + picked.length;
        const errors = [
          share(largestDifference(picked, samples), max),
          share(Math.abs(largest(values) - max), max),
          share(Math.abs(normOf(values) - norm), norm),
        ];
        deviations.push({ name, own, error: Math.max(...errors) });
      }
      if (at !== records.length)
        throw new Error(`The tensors of ${group} are not of the sizes that PyTorch's have.`);
    }
    return deviations;
  }
}

function checkNames(ours: readonly string[], theirs: readonly string[]): void {
  const missing = theirs.filter((name) => !ours.includes(name));
  const superfluous = ours.filter((name) => !theirs.includes(name));
  if (missing.length + superfluous.length > 0)
    throw new Error(
      `PyTorch alone has ${missing.join(', ')}; the engine alone has ${superfluous.join(', ')}.`,
    );
}

function groupOf(name: string): string {
  return name.slice(0, name.indexOf('/'));
}

function sampleOf(name: string, values: Float32Array): Float32Array {
  const count = SAMPLES[groupOf(name)] ?? SAMPLES_ELSEWHERE;
  if (values.length <= count) return values;
  return uniform(`sample/${name}`, count, 0, 1).map((place) => values[Math.floor(place * values.length)]);
}

function unpacked(base64: string): Float32Array {
  const bytes = Buffer.from(base64, 'base64');
  return new Float32Array(Uint8Array.from(bytes).buffer);
}

/** A tensor of zeros allows no error at all. */
function share(difference: number, whole: number): number {
  return difference === 0 ? 0 : difference / whole;
}

/** NaN where any difference is: `>` would skip it. */
function largestDifference(a: Float32Array, b: Float32Array): number {
  let worst = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i] - b[i]);
    if (!(difference <= worst)) worst = difference;
    if (Number.isNaN(worst)) return NaN;
  }
  return worst;
}

function largest(values: Float32Array): number {
  let highest = 0;
  for (let i = 0; i < values.length; i++) highest = Math.max(highest, Math.abs(values[i]));
  return highest;
}

function normOf(values: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] * values[i];
  return Math.sqrt(sum);
}
