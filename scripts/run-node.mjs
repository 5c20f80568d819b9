// Runs a script under the best Node this machine has: the runtime that npm brought along, else the one that runs this.
import { spawn } from 'node:child_process';
import { bestNode } from '../bin/runtime.mjs';

const child = spawn(bestNode().path, process.argv.slice(2), { stdio: 'inherit' });
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)));
