import { join } from 'node:path';

/** Pictures of the window, which only the headless stand-in can take; elsewhere nothing happens. */
export async function screenshot(name: string): Promise<void> {
  const control = process.env.FCD_HOST_CONTROL;
  const out = process.env.FCD_HOST_OUT;
  if (!control || !out) return;
  const path = join(out, `${name.replace(/[^\w.-]+/g, '-')}.png`);
  const answer = await fetch(`${control}/screenshot?path=${encodeURIComponent(path)}`, { method: 'POST' });
  if (!answer.ok) throw new Error(`No screenshot ${name}: ${await answer.text()}`);
}

/** Lets go of the promise: a test has failed already, and a missing picture must not hide why. */
export function photographFailure(title: string): void {
  screenshot(`failed-${title.slice(0, 80)}`).catch(() => undefined);
}
