// Runs the programs of one part, within a limit of time and until somebody stops it.
import { spawn } from 'node:child_process';
import { appendFileSync, closeSync, existsSync, openSync, readFileSync } from 'node:fs';

/**
 * @param {import('./parts.mjs').Part} part
 * @param {{ minutes: number, env: object, log: string, signal: AbortSignal }} limits
 * @returns a record: state (`done`, `failed`, `out of time`, `stopped`), a sentence where it is not done, seconds, and
 * whatever its programs have written, up to where they came
 */
export async function runPart({ name, title, programs }, { minutes, env, log, signal }) {
  const start = Date.now();
  const end = start + minutes * 60_000;
  const sentences = [];
  let state = 'done';
  for (const { args } of programs) {
    const run = await runProgram(args, { left: end - Date.now(), env, log, signal });
    if (run.how === 'ended well') continue;
    if (run.how === 'stopped' || run.how === 'out of time') {
      state = run.how;
      const sentence =
        run.how === 'stopped' ? 'Stopped by hand.' : `Not finished within ${minutes} minutes (--minutes).`;
      sentences.push(sentence);
      break;
    }
    state = 'failed';
    sentences.push(run.sentence);
  }
  const results = programs.map(({ file }) => readJson(file)).filter(Boolean);
  const sentence = [...new Set(sentences)].join(' ');
  return {
    name,
    title,
    state,
    ...(sentence && { sentence }),
    seconds: Math.round((Date.now() - start) / 100) / 10,
    results,
  };
}

function readJson(path) {
  if (!existsSync(path)) return undefined;
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

/** How long a program that was asked to end may take for it. */
const GRACE_MS = 3000;

function runProgram(args, { left, env, log, signal }) {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve({ how: 'stopped' });
    if (left <= 0) return resolve({ how: 'out of time' });
    appendFileSync(log, `\n$ node ${args.join(' ')}\n`);
    const file = openSync(log, 'a');
    const before = readFileSync(log).length;
    // A group of its own: what it has started ends with it.
    const child = spawn(process.execPath, args, {
      detached: true,
      env: { ...process.env, ...env },
      stdio: ['ignore', file, file],
    });
    closeSync(file);
    let how;
    const end = (reason) => {
      how ??= reason;
      killGroup(child.pid, 'SIGTERM');
      setTimeout(() => killGroup(child.pid, 'SIGKILL'), GRACE_MS).unref();
    };
    const clock = setTimeout(() => end('out of time'), left);
    const onAbort = () => end('stopped');
    signal.addEventListener('abort', onAbort, { once: true });
    const done = (code, killed) => {
      clearTimeout(clock);
      signal.removeEventListener('abort', onAbort);
      killGroup(child.pid, 'SIGKILL'); // what was left behind
      if (how) resolve({ how });
      else if (code === 0) resolve({ how: 'ended well' });
      else {
        const said = readFileSync(log).subarray(before).toString('utf8');
        resolve({ how: 'failed', sentence: `${lastWords(said)} (${killed ?? `exit code ${code}`})` });
      }
    };
    child.on('error', (error) => {
      appendFileSync(log, `${error.message}\n`);
      done(1);
    });
    child.on('exit', done);
  });
}

function killGroup(pid, signal) {
  try {
    if (pid) process.kill(-pid, signal);
  } catch {
    // It is gone already.
  }
}

/** What a program said of its end: the line that names an error, else its last one. */
function lastWords(said) {
  const lines = said.split('\n').map((line) => line.trim());
  const spoken = lines.filter((line) => line && !line.startsWith('at ') && !/^Node\.js v/.test(line));
  const error = spoken.findLast((line) => /^\w*Error\b.*: /.test(line));
  return (error ?? spoken.at(-1) ?? 'It said nothing').replace(/^\w*Error\b[^:]*: /, '');
}
