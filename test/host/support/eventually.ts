import { setTimeout as delay } from 'node:timers/promises';

/**
 * Asks again and again until the answer is not undefined or false.
 * @throws Error that says what was waited for
 */
export async function eventually<T>(
  what: string,
  ask: () => T | undefined | false | Promise<T | undefined | false>,
  seconds = 30,
): Promise<T> {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() > end) throw new Error(`Waited ${seconds} s in vain for ${what}.`);
    await delay(50);
  }
}
