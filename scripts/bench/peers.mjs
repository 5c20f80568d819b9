// The two sides as child processes that answer one JSON line with another.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));

/** Starts our side and, where wanted, PyTorch. `running` holds them until they are stopped. */
export async function startPeers(settings, running) {
  const program = join(here, '..', '..', 'dist', 'bench', 'our-peer.js');
  if (!existsSync(program)) throw new Error('The benchmark is not built: run `npm run build` first.');
  const ours = child(process.execPath, [program], 'Our side');
  const peers = { ours, torch: undefined };
  peers.stop = () => {
    ours.stop();
    peers.torch?.stop();
    running.delete(peers);
  };
  running.add(peers);
  const { threads, module, optimiser, checkpointActivations } = settings;
  const engine = await ours.ask({ do: 'engine', threads, module, optimiser, checkpointActivations });
  if (settings.torch) {
    const python = process.env.FCD_PYTHON ?? '/usr/bin/python3';
    const script = join(here, 'torch-peer.py');
    peers.torch = child(
      python,
      [script, String(engine.threads), optimiser],
      'PyTorch (is python3-torch installed?)',
    );
    await peers.torch.ask({ do: 'hello' });
  }
  return peers;
}

function child(program, args, name) {
  const process = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: process.stdout })[Symbol.asyncIterator]();
  let ended = false;
  process.on('error', () => (ended = true));
  process.stdin.on('error', () => (ended = true));
  return {
    async ask(request) {
      if (ended) throw new Error(`${name} ended.`);
      process.stdin.write(`${JSON.stringify(request)}\n`);
      const { value, done } = await lines.next();
      if (done) throw new Error(`${name} ended.`);
      const answer = JSON.parse(value);
      if (answer.error) throw new Error(`${name}: ${answer.error}`);
      return answer;
    },
    stop() {
      ended = true;
      process.stdin.end();
    },
  };
}
