import { existsSync, readdirSync, statSync } from 'node:fs';
import { resolve } from 'node:path';

/** Sentence, where a number of folds or epochs that was typed is none. */
export function wholeNumberFault(text: string, least: number, what: string): string | undefined {
  const value = Number(text);
  return /^\d+$/.test(text.trim()) && value >= least
    ? undefined
    : `${what} is a whole number of at least ${least}.`;
}

/** Sentence, where a fold that was typed is none of k/K. */
export function foldFault(text: string): string | undefined {
  const match = /^(\d+)\/(\d+)$/.exec(text.trim());
  const [fold, folds] = match ? [Number(match[1]), Number(match[2])] : [0, 0];
  return folds >= 2 && fold >= 1 && fold <= folds
    ? undefined
    : 'Give k/K with 1 <= k <= K and K >= 2, as in 1/5.';
}

/** Sentence, where what was typed is no folder, relative to another, into which something new can go. */
export function folderFault(root: string, text: string): string | undefined {
  const name = text.trim();
  if (name === '') return 'Give the name of a new folder.';
  const path = resolve(root, name);
  if (!existsSync(path)) return undefined;
  const free = statSync(path).isDirectory() && readdirSync(path).length === 0;
  return free ? undefined : `${name} is there already. Give the name of a new or empty folder.`;
}
