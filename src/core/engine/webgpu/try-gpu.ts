import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import * as v from 'valibot';
import { writeJson } from '../../files/whole';
import { cacheFolder } from '../plan-cache';
import { engineFolder } from '../wasm/modules';
import { verdictSchema, type GpuVerdict } from './verdict';

/** Compiling its kernels may take a driver a while; one that hangs must not take long. */
const PATIENCE_MS = 60_000;

const SCHEMA = 1;
const DAY_MS = 24 * 3600 * 1000;

const keptSchema = v.object({
  schema: v.literal(SCHEMA),
  /** Of what was tried: another build of ours, Dawn or Node is another matter. */
  key: v.string(),
  /** Milliseconds since 1970. */
  at: v.number(),
  verdict: verdictSchema,
});

/** Tries the GPU in a process of its own, whatever becomes of that. */
export async function tryGpu(patience = PATIENCE_MS, program = probePath()): Promise<GpuVerdict> {
  const failed = (detail: string): GpuVerdict => ({ right: false, detail, gflops: 0 });
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'ignore'] });
    let said = '';
    const clock = setTimeout(() => {
      child.kill('SIGKILL');
      resolve(failed(`a trial of the GPU did not end within ${patience / 1000} s: its driver hangs`));
    }, patience);
    child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
    child.on('error', (error) => {
      clearTimeout(clock);
      resolve(failed(`a trial of the GPU could not be started: ${error.message}`));
    });
    child.on('close', (code, signal) => {
      clearTimeout(clock);
      resolve(
        verdictOf(said) ??
          failed(
            `a trial of the GPU took its process down (${signal ?? `exit code ${code}`}): its driver or Dawn is faulty`,
          ),
      );
    });
  });
}

/**
 * As {@link tryGpu}, unless it is known: a GPU that computed rightly is not tried again with the same build of ours, Dawn
 * and Node, one that did not once a day (and by `fcd doctor`).
 */
export async function knownGpu(): Promise<GpuVerdict> {
  const path = join(cacheFolder(), 'webgpu.json');
  const key = keyOfTrial();
  const kept = readKept(path);
  if (kept?.key === key && (kept.verdict.right || Date.now() - kept.at < DAY_MS)) return kept.verdict;
  const verdict = await tryGpu();
  try {
    await writeJson(path, { schema: SCHEMA, key, at: Date.now(), verdict });
  } catch {
    // A home directory without space or rights: the next start tries again.
  }
  return verdict;
}

/** Why a trial is not worth its while; undefined where there may be a GPU. */
export function noGpuHere(): string | undefined {
  try {
    createRequire(join(engineFolder(), 'gpu-probe.js')).resolve('webgpu');
  } catch {
    return 'WebGPU for Node.js (Dawn) is not installed here: it comes with the package of FCD Lens for a platform';
  }
  if (process.platform !== 'linux') return undefined;
  const inside = (folder: string, name: RegExp) =>
    existsSync(folder) && readdirSync(folder).some((entry) => name.test(entry));
  const nodes = inside('/dev/dri', /^renderD/) || inside('/dev', /^(nvidia\d+|nvidiactl|dxg|kfd|nvhost-.*)$/);
  return nodes ? undefined : 'this machine shows no GPU (no /dev/dri/render*, /dev/nvidia* or /dev/dxg)';
}

function probePath(): string {
  return join(engineFolder(), 'gpu-probe.js');
}

function verdictOf(said: string): GpuVerdict | undefined {
  try {
    const result = v.safeParse(verdictSchema, JSON.parse(said));
    return result.success ? result.output : undefined;
  } catch {
    return undefined;
  }
}

function readKept(path: string): v.InferOutput<typeof keptSchema> | undefined {
  try {
    const result = v.safeParse(keptSchema, JSON.parse(readFileSync(path, 'utf8')));
    return result.success ? result.output : undefined;
  } catch {
    return undefined;
  }
}

/** The program of the trial holds Dawn's user and every kernel of ours; the driver is asked by the device that opens. */
function keyOfTrial(): string {
  const hash = createHash('sha256').update(process.version);
  hash.update(process.env.VK_ICD_FILENAMES ?? '').update(process.env.VK_DRIVER_FILES ?? '');
  try {
    hash.update(readFileSync(probePath()));
    hash.update(readFileSync(createRequire(probePath()).resolve('webgpu/package.json')));
  } catch {
    // Not built, or not installed: then the trial says so.
  }
  return hash.digest('hex').slice(0, 32);
}
