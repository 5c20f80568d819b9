// Our side of the benchmark: one JSON request per line on standard input, one answer per line on standard output.
// It computes through the same calls as `fcd train`, `fcd predict` and `fcd explain`.
import { readFileSync } from 'node:fs';
import { resourceUsage } from 'node:process';
import { createInterface } from 'node:readline';
import {
  closeEngine,
  engineMemory,
  measurePeak,
  openEngine,
  profiled,
  resetEnginePeak,
} from '../../src/core/engine/choose';
import type { Profile } from '../../src/core/engine/wasm/profile';
import { measureCeilings } from './gpu/ceilings';
import { describeGpu, openGpu, settled } from './gpu/gpu-in-use';
import { gpuLayer } from './gpu/gpu-layer';
import { layersOf } from './layers-of';
import type { EngineRequest, MemoryAnswer, Request } from './requests';
import { wasmLayer } from './wasm-layer';
import { Whole } from './whole';

let engine: EngineRequest = { optimiser: 'adam', checkpointActivations: false };
let whole: Whole | undefined;
const onGpu = () => engine.engine === 'webgpu';

async function answer(request: Request): Promise<object> {
  switch (request.do) {
    case 'engine':
      engine = request;
      return openAsked();
    case 'machine': {
      const { module, threads } = await openEngine({
        engine: 'wasm',
        threads: engine.threads,
        module: engine.module,
      });
      return { module, threads, peak: measurePeak() };
    }
    case 'ceilings':
      return measureCeilings();
    case 'layer':
      return onGpu() ? gpuLayer(request) : wasmLayer(request);
    case 'layersOf':
      return { layers: layersOf(request) };
    case 'open':
      whole = new Whole(request, engine);
      await whole.prepare();
      return { flops: whole.flops, ...whole.parts };
    case 'memory':
      return { peak: peakResident(), engine: engineMemory() } satisfies MemoryAnswer;
    case 'resetPeak':
      resetEnginePeak();
      return {};
    case 'step':
    case 'inference':
    case 'gradcam':
      return once(request.do);
    case 'profile': {
      const start = performance.now();
      const { profile } = await profiled(() => once(request.kind));
      const total = performance.now() - start;
      return { total, ...(profile && sections(profile)) };
    }
  }
}

async function openAsked(): Promise<object> {
  const { precision, gpuMemory, threads, module } = engine;
  if (onGpu()) {
    await openGpu({ precision, gpuMemory });
    return { threads: 1, gpu: describeGpu() };
  }
  const report = await openEngine({ engine: 'wasm', threads, module, tune: true });
  return { module: report.module, threads: report.threads };
}

/** Milliseconds of one run, and whether it was a training step that was left out (whole.ts). */
async function once(what: 'step' | 'inference' | 'gradcam'): Promise<{ ms: number; skipped: boolean }> {
  const start = performance.now();
  let skipped = false;
  if (what === 'step') skipped = !(await opened().step());
  else await opened()[what]();
  if (onGpu()) await settled();
  return { ms: performance.now() - start, skipped };
}

const sections = ({ operations, kernels, convolutions }: Profile) => ({ operations, kernels, convolutions });

function opened(): Whole {
  if (!whole) throw new Error('No network is open.');
  return whole;
}

/** Bytes: the most that this process alone ever held. */
function peakResident(): number {
  try {
    const line = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'));
    if (line) return Number(line[1]) * 1024;
  } catch {
    // Not Linux: the system's own count, which may include what the parent held.
  }
  return resourceUsage().maxRSS * 1024;
}

for await (const line of createInterface({ input: process.stdin })) {
  let said: object;
  try {
    said = await answer(JSON.parse(line) as Request);
  } catch (error) {
    said = { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
  process.stdout.write(`${JSON.stringify(said)}\n`);
}
await closeEngine();
