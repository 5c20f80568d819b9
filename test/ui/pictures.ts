import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { RESULTS, ROOT } from '../vscode/locate.mjs';

/** `npm run test:ui -- --update`: the pictures go where README shows them. */
const UPDATE = process.env.FCD_UPDATE_IMAGES === '1';

/** Takes a picture of the whole window once nothing moves in it. */
export async function picture(page: Page, name: string): Promise<void> {
  const folder = UPDATE ? join(ROOT, 'docs', 'images') : join(RESULTS, 'ui');
  mkdirSync(folder, { recursive: true });
  await page.mouse.move(640, 798); // over the edge of the status bar: no row looks pointed at, no tooltip shows
  await page.waitForTimeout(600);
  await page.screenshot({ path: join(folder, `${name}.png`) });
}

/** Keeps what the window showed when a step failed, and the names of what could be clicked on. */
export async function photographFailure(page: Page, step: string): Promise<void> {
  const path = join(RESULTS, 'ui', `failed-${step.replace(/\W+/g, '-').slice(0, 60)}`);
  mkdirSync(join(RESULTS, 'ui'), { recursive: true });
  await page.screenshot({ path: `${path}.png` });
  const rows = page.locator('.monaco-list-row');
  writeFileSync(
    `${path}.txt`,
    (await rows.evaluateAll((all) => all.map((row) => row.getAttribute('aria-label')))).join('\n'),
  );
}
