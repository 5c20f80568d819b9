import { readFile } from 'node:fs/promises';
import { InputError, messageOf } from '../errors';
import { CONTRASTS, type Case, type Contrast, type Group } from './cohort';
import { inBatches } from './in-batches';

/** How one fact about the acquisition is spread over the groups. */
export interface ProtocolCount {
  /** `FLAIR DeviceSerialNumber`, `T1w acq`, `T1w acq + FLAIR acq` */
  readonly fact: string;
  readonly values: readonly { readonly value: string; readonly control: number; readonly fcd: number }[];
  /** Cases in which the fact is known; only they are counted, for a missing value may give the group away. */
  readonly n: number;
  /** Accuracy (0 to 1, on these very cases) of guessing each value's larger group: how far the fact alone tells the groups apart. */
  readonly ruleAccuracy: number;
  /** Share of the larger group: what guessing without the fact reaches. */
  readonly chance: number;
  /** Cases whose value occurs in both groups. */
  readonly matched: Readonly<Record<Group, number>>;
}

const SIDECAR_FIELDS = [
  'DeviceSerialNumber',
  'ManufacturersModelName',
  'MagneticFieldStrength',
  'MRAcquisitionType',
  'SliceThickness',
];

/** The merged sidecar of an image (a specific file overrides a general one); empty where it has none. */
export async function readSidecar(one: Case, contrast: Contrast): Promise<Readonly<Record<string, unknown>>> {
  const merged: Record<string, unknown> = {};
  for (const path of one.sidecars?.[contrast] ?? []) {
    try {
      const fields: unknown = JSON.parse((await readFile(path, 'utf8')).replace(/^\uFEFF/, ''));
      if (typeof fields !== 'object' || fields === null || Array.isArray(fields))
        throw new Error('not an object');
      Object.assign(merged, fields);
    } catch (error) {
      throw new InputError(`${path} is no readable JSON sidecar: ${messageOf(error)}.`);
    }
  }
  return merged;
}

/**
 * Counts scanner, field strength, 2D or 3D, slice thickness (from sidecars) and `acq-` (from file names) by group: what a
 * network could learn instead of the lesion. Facts that no case states are left out. `unread` says which sidecars could
 * not be read.
 */
export async function protocolCounts(
  cases: readonly Case[],
): Promise<{ counts: ProtocolCount[]; unread: string[] }> {
  const unread: string[] = [];
  const facts = await inBatches(cases, (one) => factsOf(one, unread));
  const names = new Set(facts.flatMap((known) => [...known.keys()]));
  const counts = [...names].sort().map((fact) => {
    const known = cases.flatMap((one, i) => {
      const value = facts[i].get(fact);
      return value === undefined ? [] : [{ value, group: one.group }];
    });
    return countOf(fact, known);
  });
  return { counts, unread };
}

async function factsOf(one: Case, unread: string[]): Promise<Map<string, string>> {
  const facts = new Map<string, string>();
  for (const contrast of CONTRASTS) {
    const entities = one.entities?.[contrast];
    if (entities?.acq !== undefined) facts.set(`${contrast} acq`, entities.acq);
    const sidecar = await readSidecar(one, contrast).catch((error: unknown) => {
      unread.push(messageOf(error));
      return {} as Readonly<Record<string, unknown>>;
    });
    for (const field of SIDECAR_FIELDS) {
      const value = sidecar[field];
      if (typeof value === 'string' || typeof value === 'number')
        facts.set(`${contrast} ${field}`, String(value));
    }
  }
  const acquisitions = CONTRASTS.map((contrast) => facts.get(`${contrast} acq`));
  if (acquisitions.every((acq) => acq !== undefined))
    facts.set('T1w acq + FLAIR acq', acquisitions.join(' + '));
  return facts;
}

function countOf(fact: string, known: readonly { value: string; group: Group }[]): ProtocolCount {
  const byValue = new Map<string, { control: number; fcd: number }>();
  const total = { control: 0, fcd: 0 };
  for (const { value, group } of known) {
    const count = byValue.get(value) ?? { control: 0, fcd: 0 };
    count[group]++;
    total[group]++;
    byValue.set(value, count);
  }
  const values = [...byValue]
    .map(([value, count]) => ({ value, ...count }))
    .sort((a, b) => b.control + b.fcd - a.control - a.fcd || (a.value < b.value ? -1 : 1));
  const both = values.filter(({ control, fcd }) => control > 0 && fcd > 0);
  const n = known.length;
  return {
    fact,
    values,
    n,
    ruleAccuracy: values.reduce((sum, { control, fcd }) => sum + Math.max(control, fcd), 0) / n,
    chance: Math.max(total.control, total.fcd) / n,
    matched: {
      control: both.reduce((sum, { control }) => sum + control, 0),
      fcd: both.reduce((sum, { fcd }) => sum + fcd, 0),
    },
  };
}
