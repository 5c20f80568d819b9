// `node scripts/run-suites.mjs unit host`: runs suites one after the other, all of them even after a failure, and ends
// with the sum of their closing lines, for people and scripts that only read the end.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bestNode } from '../bin/runtime.mjs';

const root = join(fileURLToPath(import.meta.url), '..', '..');
const vitest = 'node_modules/vitest/vitest.mjs';

/** Arguments of the Node that runs each suite. */
const SUITES = {
  unit: [vitest, 'run', '--config', 'vitest.config.ts'],
  slow: [vitest, 'run', '--config', 'vitest.slow.config.ts'],
  host: ['test/host/run.mjs'],
  ui: ['test/ui/run.mjs'],
};

const total = { passed: 0, failed: 0, skipped: 0 };
let code = 0;
for (const name of process.argv.slice(2)) {
  if (!(name in SUITES))
    throw new Error(`There is no suite ${name}; there are ${Object.keys(SUITES).join(', ')}.`);
  const begin = Date.now();
  const ended = await runSuite(SUITES[name]);
  console.log(`suite ${name} took ${Math.round((Date.now() - begin) / 1000)} s`);
  code ||= ended.code;
  // A suite that broke before it could count has failed once.
  const counted = ended.counts ?? { passed: 0, failed: 1, skipped: 0 };
  for (const key of Object.keys(total)) total[key] += counted[key];
}
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = code || (total.failed > 0 ? 1 : 0);

function runSuite(args) {
  return new Promise((resolve, reject) => {
    const child = spawn(bestNode().path, args, { cwd: root, stdio: ['inherit', 'pipe', 'inherit'] });
    let counts;
    let line = '';
    child.stdout.on('data', (chunk) => {
      process.stdout.write(chunk);
      const lines = (line + chunk.toString()).split('\n');
      line = lines.pop();
      for (const one of lines) counts = closingLine(one) ?? counts;
    });
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => child.kill(signal));
    child.on('error', reject);
    child.on('close', (exit) => resolve({ code: exit ?? 1, counts: closingLine(line) ?? counts }));
  });
}

function closingLine(line) {
  const found = /^(\d+) passed, (\d+) failed, (\d+) skipped$/.exec(line);
  return found && { passed: Number(found[1]), failed: Number(found[2]), skipped: Number(found[3]) };
}
