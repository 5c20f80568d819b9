import type { ImportMessage } from '../../protocol/inspection';

/** A line of the review: a fact, with the names behind it where there are any. */
export interface ReviewLine {
  readonly label: string;
  readonly description?: string;
  readonly detail?: string;
  readonly names?: readonly string[];
  readonly act?: 'write';
}

/** What importing a file would come to, a line for each fact: what was recognised, whose it is, what becomes of tensors. */
export function importReview(found: ImportMessage): ReviewLine[] {
  const {
    title,
    geometry,
    axes,
    trainedBy,
    registry,
    sha256,
    loaded,
    missing,
    unexpected,
    mismatched,
    prefixes,
  } = found;
  const by = {
    registry: 'by the registry of published weights',
    file: 'the file says so itself',
    flags: 'as you say',
    nobody: 'assumed: nobody says so',
  }[trainedBy];
  const lines: ReviewLine[] = [
    { label: `$(symbol-class) ${title}` },
    { label: `$(info) Trained with geometry ${geometry}, axes ${axes}`, description: by },
    registry === null
      ? {
          label: '$(question) Not among the published files that are known by their bytes',
          description: `sha256 ${sha256.slice(0, 12)}…`,
          names: [sha256],
        }
      : {
          label: `$(verified) ${registry}`,
          description: `by its sha256, ${sha256.slice(0, 12)}…`,
          names: [sha256],
        },
    counted(
      'pass',
      loaded,
      'loaded',
      prefixes.length > 0 ? `prefix ${prefixes.join(', ')} taken off` : undefined,
    ),
  ];
  if (missing.length > 0) lines.push(counted('circle-slash', missing, 'missing, would start fresh'));
  if (mismatched.length > 0)
    lines.push(
      counted(
        'warning',
        mismatched.map(
          ({ name, expected, found: there }) =>
            `${name}: [${there.join(', ')}] in the file, [${expected.join(', ')}] due`,
        ),
        'of another shape, left out',
      ),
    );
  if (unexpected.length > 0) lines.push(counted('circle-outline', unexpected, 'not expected, left out'));
  for (const change of found.changes) lines.push({ label: '$(edit) Changed on the way', detail: change });
  for (const warning of found.warnings) lines.push({ label: '$(warning) Note', detail: warning });
  return lines;
}

function counted(icon: string, names: readonly string[], what: string, description?: string): ReviewLine {
  const some = names.slice(0, 3).join(', ') + (names.length > 3 ? ', …' : '');
  return {
    label: `$(${icon}) ${names.length} ${names.length === 1 ? 'tensor' : 'tensors'} ${what}`,
    ...(description === undefined ? {} : { description }),
    detail: some,
    names,
  };
}
