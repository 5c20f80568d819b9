// The two sides as child processes that answer one JSON line with another.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));

/** Starts our side and, where wanted, PyTorch. `running` holds them until they are stopped. */
export async function startPeers(settings, running) {
  const { threads, module, optimiser, checkpointActivations } = settings;
  const { peer: ours, answer: engine } = await startOurs(
    { threads, module, optimiser, checkpointActivations },
    running,
  );
  const peers = { ours, torch: undefined };
  peers.stop = () => {
    ours.stop();
    peers.torch?.stop();
  };
  if (settings.torch)
    peers.torch = (await startTorch({ threads: engine.threads, optimiser, device: 'cpu' }, running)).peer;
  return peers;
}

/** Starts our side and opens its engine, whose answer comes along. @param request an EngineRequest (requests.ts) */
export async function startOurs(request, running) {
  const program = join(here, '..', '..', 'dist', 'bench', 'our-peer.js');
  if (!existsSync(program)) throw new Error('The benchmark is not built: run `npm run build` first.');
  return opened(child(process.execPath, [program], 'Our side', running), { do: 'engine', ...request });
}

/** Starts PyTorch, which says what it computes with. `device` is cpu, or cuda where there is one. */
export async function startTorch({ threads, optimiser, device }, running) {
  const python = process.env.FCD_PYTHON ?? '/usr/bin/python3';
  const script = join(here, 'torch-peer.py');
  const args = [script, String(threads), optimiser, device];
  return opened(child(python, args, 'PyTorch (is python3-torch installed?)', running), { do: 'hello' });
}

async function opened(peer, request) {
  try {
    return { peer, answer: await peer.ask(request) };
  } catch (error) {
    peer.stop();
    throw error;
  }
}

/** What a side that is to end may take for what it is doing. */
const PATIENCE_MS = 20_000;

function child(program, args, name, running) {
  const process = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: process.stdout })[Symbol.asyncIterator]();
  let ended = false;
  let how = '';
  process.on('error', (error) => {
    ended = true;
    how = `: ${error.message}`;
  });
  const gone = new Promise((resolve) => {
    process.on('close', (code, signal) => {
      ended = true;
      if (signal || code) how ||= ` (${signal ?? `exit code ${code}`})`;
      resolve();
    });
    process.on('error', resolve);
  });
  process.stdin.on('error', () => (ended = true));
  const peer = {
    async ask(request) {
      if (ended) throw new Error(`${name} ended${how}.`);
      process.stdin.write(`${JSON.stringify(request)}\n`);
      const { value, done } = await lines.next();
      if (done) {
        await gone;
        throw new Error(`${name} ended${how}.`);
      }
      const answer = JSON.parse(value);
      if (answer.error) throw new Error(`${name}: ${answer.error}`);
      return answer;
    },
    stop() {
      ended = true;
      running.delete(peer);
      process.stdin.end();
      // A driver that hangs must not hold up what comes next.
      setTimeout(() => process.kill('SIGKILL'), PATIENCE_MS).unref();
    },
    /** Resolves when the process is no more, and its memory with it. */
    gone,
  };
  running.add(peer);
  return peer;
}
