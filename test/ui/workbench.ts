import type { Frame, Locator, Page } from 'playwright-core';

/** What a person does with VS Code's window, in words of the window. */
export class Workbench {
  constructor(readonly page: Page) {}

  /** Unfolds the folders one after the other, then answers the row of the last name. */
  async inExplorer(...path: readonly string[]): Promise<Locator> {
    await this.page.keyboard.press('Control+Shift+E');
    const rows = '.explorer-folders-view .monaco-list-row';
    const file = this.page
      .locator(`${rows}[aria-label^="${path[path.length - 1]}"]:not([aria-expanded])`)
      .first();
    for (const folder of path.slice(0, -1)) {
      if (await appears(file, 300)) break;
      // Only folders can be unfolded; a folder that holds one folder alone is shown together with it.
      const row = this.page.locator(`${rows}[aria-expanded][aria-label^="${folder}"]`).first();
      await row.waitFor();
      if ((await row.getAttribute('aria-expanded')) === 'false') await row.click();
    }
    await file.waitFor();
    return file;
  }

  /**
   * Finds a command in the palette. What extensions contribute may come a moment after the window, and the list does
   * not change while it is open: it is opened anew until the command is there.
   */
  async findCommand(title: string): Promise<Locator> {
    for (let attempt = 0; attempt < 20; attempt++) {
      await this.page.keyboard.press('F1');
      const input = this.page.locator('.quick-input-widget input.input');
      await input.waitFor({ state: 'visible' });
      await input.fill(`>${title}`);
      const row = this.choice(title).first();
      if (await appears(row, 1500)) return row;
      await this.page.keyboard.press('Escape');
      await input.waitFor({ state: 'hidden' });
    }
    throw new Error(`The palette has no ${title}.`);
  }

  async runCommand(title: string): Promise<void> {
    await (await this.findCommand(title)).click();
  }

  /** A row of the list that is open over the window. */
  choice(text: string | RegExp): Locator {
    return this.page.locator('.quick-input-list .monaco-list-row', { hasText: text });
  }

  /** Title and question of the step that the window asks. */
  async question(): Promise<string> {
    const widget = this.page.locator('.quick-input-widget');
    await widget.waitFor({ state: 'visible' });
    return ((await widget.locator('.quick-input-title').textContent()) ?? '').trim();
  }

  /**
   * Answers a list by typing until the wanted row is the one that Enter takes. Rows outside of the view do not exist in
   * the window, and a click can be caught by the explanation that hovers beside a row.
   */
  async choose(text: string): Promise<void> {
    const input = this.page.locator('.quick-input-widget input.input');
    await input.waitFor({ state: 'visible' });
    await this.page.locator('.quick-input-list .monaco-list-row').first().waitFor({ timeout: 30_000 });
    await input.fill(text);
    await this.page
      .locator('.quick-input-list .monaco-list-row.focused', { hasText: text })
      .first()
      .waitFor();
    await this.page.keyboard.press('Enter');
    await this.answered(text);
  }

  async type(text: string): Promise<void> {
    const input = this.page.locator('.quick-input-widget input.input');
    await input.waitFor({ state: 'visible' });
    await input.fill(text);
    await this.page.keyboard.press('Enter');
    await this.answered(text);
  }

  /** Waits until the field holds something else: the next question, or none. */
  private async answered(text: string): Promise<void> {
    await this.page.waitForFunction((given) => {
      const field = document.querySelector<HTMLInputElement>('.quick-input-widget input.input');
      return !field || field.offsetParent === null || field.value !== given;
    }, text);
  }

  /** The document of a webview: the first that holds the selector, whichever of the nested frames it is. */
  async webview(selector: string, seconds = 60): Promise<Frame> {
    const end = Date.now() + seconds * 1000;
    while (Date.now() < end) {
      for (const frame of this.page.frames())
        if (
          (await frame
            .locator(selector)
            .count()
            .catch(() => 0)) > 0
        )
          return frame;
      await this.page.waitForTimeout(25);
    }
    throw new Error(`No webview shows ${selector} after ${seconds} s.`);
  }

  /** The status bar's entry of the extension. */
  status(text: string | RegExp): Locator {
    return this.page.locator('.statusbar-item', { hasText: text });
  }

  /** A row of a tree view. */
  treeRow(text: string | RegExp): Locator {
    return this.page.locator('.tree-explorer-viewlet-tree-view .monaco-list-row', { hasText: text });
  }

  /** A row of a tree view, scrolled to: rows outside of the view do not exist in the window. */
  async scrolledTo(above: string | RegExp, text: string | RegExp): Promise<Locator> {
    const start = this.treeRow(above).first();
    await start.waitFor({ timeout: 60_000 });
    await start.hover();
    const row = this.treeRow(text).first();
    for (let turn = 0; turn < 40 && !(await appears(row, 250)); turn++) await this.page.mouse.wheel(0, 60);
    await row.waitFor({ timeout: 1000 });
    return row;
  }

  async dismissNotifications(): Promise<void> {
    await this.runCommand('Notifications: Clear All Notifications');
  }
}

/** Whether something shows up within so many milliseconds. */
export function appears(locator: Locator, timeout: number): Promise<boolean> {
  return locator.waitFor({ timeout }).then(
    () => true,
    () => false,
  );
}
