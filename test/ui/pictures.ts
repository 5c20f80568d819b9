import { mkdirSync } from 'node:fs';
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
