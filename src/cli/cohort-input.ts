import type { Command } from 'commander';
import type { Case, Cohort, Finding, Modality } from '../core/cohort/cohort';
import { readCohort } from '../core/cohort/read-cohort';
import { casesWith } from '../core/cohort/usable-cases';
import { InputError } from '../core/errors';
import { tell } from './terminal';

export interface FindingFlags {
  readonly allowFindings?: boolean;
}

export function addFindingOptions(command: Command): Command {
  return command.option(
    '--allow-findings',
    'go on although the cohort has errors: cases that they concern are left out where their files are',
  );
}

const ERRORS_SHOWN = 10;
const WARNINGS_SHOWN = 3;

/**
 * Reads a cohort that is to be trained on and says what is wrong with it and who is left out.
 * @throws InputError where it has errors that were not allowed, or nobody has the images
 */
export async function usableCohort(
  path: string,
  modality: Modality,
  flags: FindingFlags,
): Promise<{ cohort: Cohort; usable: readonly Case[] }> {
  const cohort = await readCohort(path);
  const of = (severity: Finding['severity']): Finding[] =>
    cohort.findings.filter((finding) => finding.severity === severity);
  const errors = of('error');
  show(errors, ERRORS_SHOWN, path);
  show(of('warning'), WARNINGS_SHOWN, path);
  if (errors.length > 0 && !flags.allowFindings)
    throw new InputError(
      `The cohort ${path} has ${errors.length === 1 ? 'an error' : `${errors.length} errors`} (above). Correct ${errors.length === 1 ? 'it' : 'them'}, or go on in spite of ${errors.length === 1 ? 'it' : 'them'} with --allow-findings.`,
    );
  const { usable, excluded } = casesWith(cohort, modality);
  for (const { case: one, reason } of excluded) tell(`left out: ${one.participantId} (${reason})`);
  if (usable.length === 0)
    throw new InputError(
      `Nobody in ${path} has the ${modality} images: of ${cohort.cases.length} cases none can be used. "fcd cohort ${path}" says what is there.`,
    );
  return { cohort, usable };
}

function show(findings: readonly Finding[], most: number, path: string): void {
  for (const finding of findings.slice(0, most)) tell(findingLine(finding));
  const rest = findings.length - most;
  if (rest > 0) tell(`... and ${rest} more ${findings[0].severity}s; "fcd cohort ${path}" lists all.`);
}

/**
 * `file:line: warning: what is wrong`, as compilers write it, so that editors and scripts can point at the place; what
 * is wrong with a file that has no lines ends in its name.
 */
export function findingLine({ severity, message, file, line }: Finding): string {
  const text = file !== undefined && /\.(tsv|csv|json)$/i.test(file);
  if (text) return `${file}:${line ?? 1}: ${severity}: ${message}`;
  return `${severity}: ${message}${file ? ` (${file})` : ''}`;
}
