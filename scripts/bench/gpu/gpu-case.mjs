// One network on a GPU: training step, inference or class map, all sides in turns.
import { median, table } from '../print.mjs';
import { sentenceOf, startProcess } from './sides.mjs';
import { shareOfCeiling } from './share.mjs';

/** @returns a record with what each side took, or why it has no figure */
export async function measureGpuCase(context, one) {
  console.log(`\n${one.name}`);
  const result = { ...one, sides: {} };
  const sides = context.sides.filter(({ name }) => !(one.alone && name === 'wasm'));
  const processes = [...new Set(sides.map((side) => side.process))];
  // Together they may be more than the GPU holds.
  for (const group of one.alone ? processes.map((name) => [name]) : [processes])
    await measureTogether(
      context,
      one,
      sides.filter((side) => group.includes(side.process)),
      result,
    );
  printCase(context, result);
  return result;
}

async function measureTogether({ settings, running, rounds }, one, sides, result) {
  const peers = new Map();
  const alive = new Set(sides);
  const attempt = async (side, work) => {
    try {
      await work(peers.get(side.process));
    } catch (error) {
      alive.delete(side);
      result.sides[side.name] = { ...result.sides[side.name], failed: sentenceOf(error) };
    }
  };
  try {
    for (const side of sides)
      await attempt(side, async (known) => {
        const peer =
          known ?? (await startProcess(side.process, { ...settings, memory: one.memory }, running));
        peers.set(side.process, peer);
        if (!known) await open(peer, one, side, result);
        result.sides[side.name] = { times: [] };
        // Compiles, and finds the fastest algorithms.
        await peer.ask({ do: one.kind, mode: side.mode });
        // In half precision the loss's scale falls until nothing overflows; until then the optimiser rests.
        for (let i = 0; i < MOST_WARM; i++)
          if (!(await peer.ask({ do: one.kind, mode: side.mode })).skipped) break;
      });
    for (let round = 0; round < rounds; round++)
      for (const side of alive)
        await attempt(side, async (peer) => {
          const { ms } = await peer.ask({ do: one.kind, mode: side.mode });
          result.sides[side.name].times.push(ms);
        });
    for (const side of alive)
      await attempt(side, async (peer) => {
        await peer.ask({ do: 'resetPeak' });
        await peer.ask({ do: one.kind, mode: side.mode });
        result.sides[side.name].memory = memoryOf(await peer.ask({ do: 'memory' }));
      });
  } finally {
    for (const peer of peers.values()) peer.stop();
    if (one.alone) await Promise.all([...peers.values()].map(({ gone }) => gone));
  }
}

const MOST_WARM = 16;

/** PyTorch gets the same parts of the batch as our side chose. */
async function open(peer, one, side, result) {
  const { memory, microBatch = result.microBatch, ...request } = one;
  const answer = await peer.ask({ do: 'open', ...request, microBatch, ...(side.ours && { memory }) });
  if (!side.ours) return;
  result.flops ??= answer.flops;
  result.microBatch ??= answer.microBatch;
  result.parts = {
    ...result.parts,
    [side.name]: { microBatch: answer.microBatch, checkpointActivations: answer.checkpointActivations },
  };
}

/** Bytes of the GPU's memory: given to tensors at once at most, and held. Of a side on the processor: of the process. */
function memoryOf({ peak, engine, gpu }) {
  const counted = gpu ?? engine;
  return counted ? { peak: counted.peak, reserved: counted.reserved } : { peak };
}

function printCase({ ceilings, sides }, result) {
  const rows = [];
  for (const { name, ours, precision } of sides) {
    const side = result.sides[name];
    if (!side) continue;
    if (side.failed !== undefined) {
      rows.push([name, side.failed]);
      continue;
    }
    side.ms = median(side.times);
    side.best = Math.min(...side.times);
    if (result.flops) side.tflops = result.flops / side.ms / 1e9;
    if (ours && result.flops)
      side.ofCeiling = shareOfCeiling(ceilings, { flops: result.flops, ms: side.ms, precision })?.share;
    rows.push([
      name,
      `${side.ms.toFixed(1)} ms`,
      `best ${side.best.toFixed(1)}`,
      side.tflops ? `${side.tflops.toPrecision(3)} TFLOP/s` : '',
      side.ofCeiling ? `${(100 * side.ofCeiling).toFixed(0)} % of ceiling` : '',
      side.memory ? `${gigabytes(side.memory.peak)} GB` : '',
      partsText(result.parts?.[name], result.batch),
    ]);
  }
  table(rows);
}

function partsText(parts, batch) {
  if (!parts) return '';
  const words = [];
  if (parts.microBatch < batch) words.push(`${parts.microBatch} of ${batch} volumes at once`);
  if (parts.checkpointActivations) words.push('activations computed again');
  return words.join(', ');
}

/** `step resnet18 paper 96 n8 webgpu-f32 ratio 0.92x tf32-off`, and what ours took where nobody is beside it. */
export function headlinesOfCase({ name, sides }, allSides) {
  const figure = (side) => (sides[side.name]?.ms === undefined ? undefined : sides[side.name]);
  const lines = [];
  for (const mine of allSides.filter(({ ours }) => ours)) {
    const own = figure(mine);
    if (!own) continue;
    const tflops = own.tflops ? ` ${own.tflops.toPrecision(3)} TFLOP/s` : '';
    lines.push(
      `${name} ${mine.name} ${own.ms.toFixed(1)} ms${tflops} ${gigabytes(own.memory?.peak ?? 0)} GB`,
    );
    for (const theirs of allSides.filter(({ ours }) => !ours)) {
      const other = figure(theirs);
      if (!other) continue;
      lines.push(`${name} ${mine.name} ratio ${(other.ms / own.ms).toFixed(2)}x ${theirs.name}`);
      if (own.memory && other.memory && theirs.mode !== undefined && theirs.mode !== 'cpu')
        lines.push(
          `memory ${name} ${mine.name} ratio ${(own.memory.peak / other.memory.peak).toFixed(2)}x ${theirs.name}`,
        );
    }
  }
  return lines;
}

const gigabytes = (bytes) => (bytes / 1e9).toFixed(bytes < 1e8 ? 3 : 2);
