import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseEvents, type RunEvent } from '../../../src/protocol/run';
import { eventually } from './eventually';

/** The first class map of a run directory. */
export function firstMap(run: string): string {
  const cams = join(run, 'cams');
  const [first] = readdirSync(cams)
    .filter((name) => name.endsWith('.nii.gz'))
    .sort();
  if (!first) throw new Error(`${cams} holds no map.`);
  return join(cams, first);
}

/** The scan of a BIDS cohort that a map belongs to, and its lesion mask. */
export function caseOf(cohort: string, map: string): { readonly image: string; readonly roi: string } {
  const participant = /^sub-[^_.]+/.exec(basename(map))?.[0];
  if (!participant) throw new Error(`${map} is not named after a participant.`);
  const named = (suffix: string) => join(cohort, participant, 'anat', `${participant}_${suffix}.nii.gz`);
  const found = { image: named('FLAIR'), roi: named('FLAIR_roi') };
  for (const path of Object.values(found)) if (!existsSync(path)) throw new Error(`${path} is not there.`);
  return found;
}

/** What a run has said so far; nothing where its directory is not there yet. */
export function eventsOf(run: string): RunEvent[] {
  const path = join(run, 'events.jsonl');
  return existsSync(path) ? parseEvents(readFileSync(path, 'utf8')) : [];
}

/** Waits until a run has said something of this type, and answers the last such event. */
export async function untilEvent<T extends RunEvent['type']>(
  run: string,
  type: T,
  count = 1,
): Promise<Extract<RunEvent, { type: T }>> {
  return eventually(
    `${count} events "${type}" of ${run}`,
    () => {
      const events = eventsOf(run).filter(
        (event): event is Extract<RunEvent, { type: T }> => event.type === type,
      );
      return events.length >= count && events[events.length - 1];
    },
    90,
  );
}
