// What machine this is: the GPU through Vulkan, its driver, PyTorch.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { delimiter, join } from 'node:path';
import { systemLibraries, VULKAN_LOADER, waysToGpu } from './vulkan-drivers.mjs';

const PATIENCE_MS = 180_000;

/** The machine without its GPU. */
export function machineHere() {
  return {
    platform: `${process.platform}-${process.arch} ${release()}`,
    cpu: cpus()[0]?.model.trim(),
    logicalCores: cpus().length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    driver: nvidiaDriver(),
  };
}

/**
 * Tries every way to a GPU in processes of their own until one computes rightly that is not software, which also is the
 * self-test: convolutions, their gradients and batch normalisation beside double precision.
 * @returns the verdict (verdict.ts), the environment in which it was reached, and what was tried
 */
export async function findGpu({ icd, out, root, signal }) {
  const tried = [];
  let best;
  for (const { name, env } of waysToGpu({ icd, out })) {
    if (signal.aborted) break;
    const all = { ...withLoader(root), ...env };
    const verdict = await probe(join(root, 'dist/engine/gpu-probe.js'), all, signal);
    tried.push({
      way: name,
      right: verdict.right,
      detail: verdict.detail,
      gpu: verdict.adapter?.description,
    });
    if (verdict.right && (!best || (best.verdict.adapter.software && !verdict.adapter.software)))
      best = { verdict, env: all };
    if (verdict.right && !verdict.adapter.software) break;
  }
  return { ...best, tried };
}

/** The loader of Vulkan that came along, where the system has none. */
function withLoader(root) {
  const carried = join(root, 'lib');
  if (!existsSync(join(carried, VULKAN_LOADER))) return {};
  if (systemLibraries().some((path) => path.endsWith(`/${VULKAN_LOADER}`))) return {};
  const { LD_LIBRARY_PATH: known } = process.env;
  return { LD_LIBRARY_PATH: known ? `${carried}${delimiter}${known}` : carried };
}

function probe(program, env, signal) {
  return new Promise((resolve) => {
    const failed = (detail) => resolve({ right: false, detail, gflops: 0 });
    const child = spawn(process.execPath, [program], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const end = () => child.kill('SIGKILL');
    const clock = setTimeout(() => {
      end();
      failed(`it did not answer within ${PATIENCE_MS / 1000} s`);
    }, PATIENCE_MS);
    signal.addEventListener('abort', end, { once: true });
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text) => (said += text));
    child.on('error', (error) => failed(`the test of the GPU could not be started: ${error.message}`));
    child.on('close', (code, killed) => {
      clearTimeout(clock);
      signal.removeEventListener('abort', end);
      try {
        resolve(JSON.parse(said));
      } catch {
        failed(`the test took its process down (${killed ?? `exit code ${code}`})`);
      }
    });
  });
}

/** What NVIDIA's tool says; undefined where there is none. */
function nvidiaDriver() {
  const fields = 'name,driver_version,memory.total,power.limit,clocks.max.sm,clocks.max.memory';
  const asked = spawnSync('nvidia-smi', [`--query-gpu=${fields}`, '--format=csv,noheader'], {
    encoding: 'utf8',
  });
  return asked.status === 0 ? asked.stdout.trim() : undefined;
}

/** The Python that has PyTorch, or why there is none. */
export function findPython(asked) {
  const reasons = [];
  for (const python of asked ? [asked] : ['python3', 'python', '/usr/bin/python3']) {
    const run = spawnSync(
      python,
      ['-c', 'import sys, torch, numpy; print(sys.executable); print(torch.__version__)'],
      {
        encoding: 'utf8',
      },
    );
    const [path, torch] = run.stdout?.split('\n') ?? [];
    if (run.status === 0 && path) return { path, torch };
    reasons.push(run.error?.message ?? `${python}: ${run.stderr.trim().split('\n').at(-1)}`);
  }
  return { reason: `No Python with PyTorch and NumPy: ${reasons[0]}. Name one with --python FILE.` };
}
