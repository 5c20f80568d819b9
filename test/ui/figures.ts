import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { RESULTS } from '../vscode/locate.mjs';

const figures: { readonly name: string; readonly milliseconds: number }[] = [];

/** Keeps a measured time; nothing is held to it here, machines differ. */
export function keepFigure(name: string, milliseconds: number): void {
  figures.push({ name, milliseconds });
}

export function printFigures(): void {
  if (figures.length === 0) return;
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(join(RESULTS, 'figures-ui.json'), JSON.stringify(figures, null, 2));
  for (const { name, milliseconds } of figures) console.log(`${name} ${milliseconds} ms`);
}
