import * as v from 'valibot';

const entry = v.object({ kind: v.optional(v.string()), name: v.string(), labels: v.array(v.number()) });
const schema = v.union([
  v.array(entry),
  v.pipe(
    v.object({ schema: v.literal(1), tasks: v.array(entry) }),
    v.transform(({ tasks }) => tasks),
  ),
]);

/** The structures that a text names as tasks of `fcd pretrain`; undefined where it is no such text, or names none. */
export function taskNames(text: string): string[] | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch {
    return undefined;
  }
  const result = v.safeParse(schema, json);
  if (!result.success) return undefined;
  const names = result.output
    .filter(({ kind }) => kind === undefined || kind === 'task')
    .map(({ name }) => name);
  return names.length > 0 ? names : undefined;
}
