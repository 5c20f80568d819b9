// Our side of the benchmark: one JSON request per line on standard input, one answer per line on standard output.
// It computes through the same calls as `fcd train`, `fcd predict` and `fcd explain`.
import { readFileSync } from 'node:fs';
import { resourceUsage } from 'node:process';
import { createInterface } from 'node:readline';
import * as tf from '@tensorflow/tfjs-core';
import {
  closeEngine,
  engineMachine,
  engineMemory,
  measurePeak,
  openEngine,
  profiled,
} from '../../src/core/engine/choose';
import type { Triple } from '../../src/core/engine/ops/kernels';
import {
  convolve,
  convolveFilterGradient,
  convolveInputGradient,
} from '../../src/core/engine/wasm/convolution';
import { convSizes } from '../../src/core/engine/wasm/reference';
import type { Profile } from '../../src/core/engine/wasm/profile';
import { convFlops, geometryOf } from '../../src/core/engine/wasm/self-test';
import { gradCamSteps } from '../../src/core/explain/gradcam';
import { forwardFlops, valueShapes } from '../../src/core/model/flops';
import { Network } from '../../src/core/model/network';
import { buildProgram } from '../../src/core/model/program';
import { networkSpec, type NetworkSpec } from '../../src/core/model/spec';
import { awaited } from '../../src/core/model/steps';
import { Random } from '../../src/core/random';
import { DEFAULT_TRAINING, type TrainingConfig } from '../../src/core/train/config';
import { trainStep } from '../../src/core/train/fit';
import { Optimiser } from '../../src/core/train/optimiser';
import type { Sample } from '../../src/core/train/sample';

interface EngineRequest {
  readonly threads?: number;
  readonly module?: string;
  readonly optimiser: 'adam' | 'sgd';
  readonly checkpointActivations: boolean;
}

interface LayerRequest {
  readonly batch: number;
  readonly input: Triple;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernel: Triple;
  readonly stride: Triple;
  readonly padding: Triple;
  readonly dilation: Triple;
  readonly passes: readonly ('forward' | 'input gradient' | 'filter gradient')[];
  readonly repeats: number;
}

interface WholeRequest {
  readonly kind: 'step' | 'inference' | 'gradcam' | 'threads';
  readonly arch: NetworkSpec['arch'];
  readonly geometry: NetworkSpec['geometry'];
  readonly shortcut: NetworkSpec['shortcut'];
  readonly grid: Triple;
  readonly batch: number;
}

type Request =
  | ({ readonly do: 'engine' } & EngineRequest)
  | { readonly do: 'machine' | 'memory' }
  | { readonly do: 'step' | 'inference' | 'gradcam' }
  | { readonly do: 'profile'; readonly kind: 'step' | 'inference' | 'gradcam' }
  | ({ readonly do: 'layer' } & LayerRequest)
  | ({ readonly do: 'layersOf' } & WholeRequest)
  | ({ readonly do: 'open' } & WholeRequest);

/** A network with what a training step, a prediction or a class map needs. */
class Whole {
  private readonly network: Network;
  private readonly optimiser: Optimiser;
  private readonly samples: readonly Sample[];
  private readonly config: TrainingConfig;
  private readonly x: tf.Tensor5D;
  readonly flops: number;

  constructor(request: WholeRequest, engine: EngineRequest) {
    const { arch, geometry, shortcut, grid, batch } = request;
    this.network = new Network(networkSpec({ arch, geometry, shortcut }), 1);
    this.config = {
      ...DEFAULT_TRAINING,
      batchSize: batch,
      microBatch: batch,
      checkpointActivations: engine.checkpointActivations,
      augmentation: { rotation: 0, scale: 0, flip: false, intensity: 0, noise: 0 },
      optimiser:
        engine.optimiser === 'sgd'
          ? { kind: 'sgd', learningRate: 1e-4, momentum: 0.9, nesterov: false, weightDecay: 0 }
          : { ...DEFAULT_TRAINING.optimiser, learningRate: 1e-5 },
    };
    this.optimiser = new Optimiser(this.config.optimiser, this.network.weights);
    const random = Random.seeded(1);
    this.samples = Array.from({ length: batch }, (_, n) => ({
      participantId: `sub-${n}`,
      source: `sub-${n}`,
      label: (n % 2) as 0 | 1,
      shape: [...grid, 1] as const,
      data: Float32Array.from({ length: grid[0] * grid[1] * grid[2] }, () => random.uniform(-1, 1)),
    }));
    const first = this.samples[0];
    this.x = tf.tensor5d(first.data, [1, ...first.shape]);
    const forward = forwardFlops(this.network.program, [batch, ...grid, 1]);
    this.flops = request.kind === 'step' || request.kind === 'threads' ? forward.step : forward.forward;
  }

  async step(): Promise<void> {
    const { network, optimiser, samples, config } = this;
    const rate = config.optimiser.learningRate;
    await trainStep(network, optimiser, samples, 0, config, [1, 1], rate, () => Random.seeded(1));
  }

  async inference(): Promise<void> {
    await awaited(this.network.predictSteps(this.x));
  }

  async gradcam(): Promise<void> {
    const request = { layer: 'layer4', method: 'gradcam', classIndex: 1 } as const;
    await awaited(gradCamSteps(this.network, this.x, request));
  }
}

let engine: EngineRequest = { optimiser: 'adam', checkpointActivations: false };
let whole: Whole | undefined;

async function answer(request: Request): Promise<object> {
  switch (request.do) {
    case 'engine': {
      engine = request;
      const { module, threads } = await openEngine({
        threads: request.threads,
        module: request.module,
        tune: true,
      });
      return { module, threads };
    }
    case 'machine': {
      const { module, threads } = await openEngine({ threads: engine.threads, module: engine.module });
      return { module, threads, peak: measurePeak() };
    }
    case 'layer':
      return layer(request);
    case 'layersOf':
      return { layers: layersOf(request) };
    case 'open':
      whole = new Whole(request, engine);
      return { flops: whole.flops };
    case 'memory':
      return { peak: peakResident(), engine: engineMemory() };
    case 'step':
    case 'inference':
    case 'gradcam': {
      const start = performance.now();
      await opened()[request.do]();
      return { ms: performance.now() - start };
    }
    case 'profile': {
      const start = performance.now();
      const { profile } = await profiled(() => opened()[request.kind]());
      const total = performance.now() - start;
      return { total, ...(profile && sections(profile)) };
    }
  }
}

const sections = ({ operations, kernels, convolutions }: Profile) => ({ operations, kernels, convolutions });

function opened(): Whole {
  if (!whole) throw new Error('No network is open.');
  return whole;
}

/** The different convolutions of a network, each with how often it occurs. */
function layersOf({ arch, geometry, shortcut, grid, batch }: WholeRequest): object[] {
  const program = buildProgram(networkSpec({ arch, geometry, shortcut }), { fused: true });
  const shapes = valueShapes(program, [batch, ...grid, 1]);
  const filters = new Map(program.parameters.map(({ name, shape }) => [name, shape]));
  const found = new Map<string, { times: number }>();
  for (const step of program.instructions) {
    if (step.op !== 'conv') continue;
    const [outChannels, inChannels, ...kernel] = filters.get(`${step.name}.weight`) ?? [];
    const layer = {
      batch,
      input: shapes.get(step.from)?.slice(1, 4),
      inChannels,
      outChannels,
      kernel,
      ...step.attrs,
    };
    const key = JSON.stringify(layer);
    const before = found.get(key);
    if (before) before.times++;
    else found.set(key, { ...layer, times: 1 });
  }
  return [...found.values()];
}

function layer(request: LayerRequest): object {
  const machine = engineMachine();
  const geometry = geometryOf(
    request.batch,
    request.input,
    [request.inChannels, request.outChannels],
    request.kernel,
    request,
  );
  const { heap } = machine;
  const sizes = convSizes(geometry);
  const lengths = [sizes.x, sizes.filter, sizes.y, sizes.y, sizes.x, sizes.filter];
  return heap.withScratch(
    lengths.map((length) => length * 4),
    (x, filter, dy, y, dx, dfilter) => {
      [x, filter, dy].forEach((address, i) => fillWaves(heap.float32(address, lengths[i])));
      const passes = {
        forward: () => convolve(machine, geometry, x, filter, y),
        'input gradient': () => convolveInputGradient(machine, geometry, dy, filter, dx),
        'filter gradient': () => convolveFilterGradient(machine, geometry, x, dy, dfilter),
      };
      const times = request.passes.map((pass) => {
        passes[pass]();
        return [pass, Array.from({ length: request.repeats }, () => timed(passes[pass]))];
      });
      return { ...Object.fromEntries(times), flops: convFlops(geometry) };
    },
  );
}

function fillWaves(view: Float32Array<ArrayBufferLike>): void {
  for (let i = 0; i < view.length; i++) view[i] = Math.sin(i * 0.7) * 0.5;
}

function timed(run: () => void): number {
  const start = performance.now();
  run();
  return performance.now() - start;
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
