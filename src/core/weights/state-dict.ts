import { InputError } from '../errors';
import type { PickleValue } from './pickle';
import { TorchTensor } from './torch-objects';

/** Where training scripts put the state dict, in order of preference. */
const CONTAINERS = [
  'state_dict',
  'model_state_dict',
  'model_state',
  'model',
  'net',
  'network',
  'weights',
  'params',
];
/** Containers in containers; also the end of a dict that holds itself. */
const DEEPEST = 4;
/** Entries named one by one in a sentence. */
const MOST_NAMED = 12;

/** The tensors of a checkpoint, and what lay around them. */
export interface State {
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  readonly metadata: Record<string, string>;
  readonly warnings: string[];
}

/**
 * Finds the state dict in what torch.save was given: under `state_dict`, `model`, `net` and the like (see CONTAINERS),
 * also one in another, else the object itself, else the only dict in it that leads to tensors. What is left aside is said, never fatal; no tensors at all is an
 * {@link InputError}.
 */
export function findState(file: string, root: PickleValue): State {
  const warnings: string[] = [];
  const metadata = new Map<string, string>();
  const leads = tensorTest();
  let dict = root;
  for (let depth = 0; dict instanceof Map && depth < DEEPEST; depth++) {
    const key = containerIn(dict, leads);
    if (key === undefined) break;
    warnings.push(`The tensors are those under ${JSON.stringify(key)}.`);
    leaveAside(dict, key, metadata, warnings);
    dict = dict.get(key) ?? null;
  }
  const tensors = new Map<string, TorchTensor>();
  if (dict instanceof Map)
    for (const [name, value] of dict)
      if (typeof name === 'string' && value instanceof TorchTensor) tensors.set(name, value);
  if (!(dict instanceof Map) || tensors.size === 0)
    throw new InputError(
      `${file} holds ${describe(dict)}, in which there is no state dict (names and their tensors). ` +
        `Save model.state_dict(), alone or under "state_dict".`,
    );
  leaveAside(dict, undefined, metadata, warnings);
  return { tensors, metadata: Object.fromEntries(metadata), warnings };
}

/** The entry of a dict that holds the state dict, or undefined where the dict itself is it. */
function containerIn(dict: ReadonlyMap<PickleValue, PickleValue>, leads: Test): string | undefined {
  const usual = CONTAINERS.find((key) => leads(dict.get(key)));
  if (usual !== undefined || [...dict.values()].some((value) => value instanceof TorchTensor)) return usual;
  const others = [...dict].filter(([, value]) => leads(value));
  const [key] = others.length === 1 ? others[0] : [];
  return typeof key === 'string' ? key : undefined;
}

type Test = (value: PickleValue | undefined) => boolean;

/**
 * Whether a value is a dict with a tensor in it, or one from which usual names (or its only dict) lead to such, not
 * deeper than is followed; looks through each dict once per depth, however often it is referred to.
 */
function tensorTest(): Test {
  const known = Array.from({ length: DEEPEST }, () => new Map<PickleValue, boolean>());
  const leads = (value: PickleValue | undefined, depth: number): boolean => {
    if (!(value instanceof Map) || depth === DEEPEST) return false;
    let answer = known[depth].get(value);
    if (answer === undefined) {
      const items = [...value.values()];
      const dicts = items.filter((item) => item instanceof Map);
      answer =
        items.some((item) => item instanceof TorchTensor) ||
        CONTAINERS.some((key) => leads(value.get(key), depth + 1)) ||
        (dicts.length === 1 && leads(dicts[0], depth + 1));
      known[depth].set(value, answer);
    }
    return answer;
  };
  return (value) => leads(value, 0);
}

/** Says what of a dict is not taken; `taken` is the entry that was opened, undefined where its tensors are taken. */
function leaveAside(
  dict: ReadonlyMap<PickleValue, PickleValue>,
  taken: string | undefined,
  metadata: Map<string, string>,
  warnings: string[],
): void {
  const left: string[] = [];
  for (const [key, value] of dict) {
    if (key === taken || (taken === undefined && typeof key === 'string' && value instanceof TorchTensor))
      continue;
    const isScalar = typeof value === 'number' || typeof value === 'boolean' || typeof value === 'string';
    if (isScalar && typeof key === 'string') metadata.set(key, String(value));
    left.push(
      `${typeof key === 'string' ? JSON.stringify(key.slice(0, 100)) : describe(key)} (${describe(value)})`,
    );
  }
  if (left.length === 0) return;
  const more = left.length > MOST_NAMED ? ` and ${left.length - MOST_NAMED} more` : '';
  warnings.push(`Left aside: ${left.slice(0, MOST_NAMED).join(', ')}${more}.`);
}

function describe(value: PickleValue): string {
  if (value === null) return 'None';
  if (typeof value === 'string')
    return value.length > 40 ? `a text of ${value.length} characters` : JSON.stringify(value);
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean')
    return String(value);
  if (value instanceof Map) return `a dict of ${value.size}`;
  if (value instanceof Set) return `a set of ${value.size}`;
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (value instanceof TorchTensor) return `a tensor [${value.shape.join(', ')}]`;
  return 'an object';
}
