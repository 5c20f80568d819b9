// Every convolution of the networks that are trained, pass by pass, on a GPU.
import { layerName } from '../layer-name.mjs';
import { median, table } from '../print.mjs';
import { sentenceOf, startProcess } from './sides.mjs';
import { shareOfCeiling } from './share.mjs';

/** @param known is told of each layer as soon as it is measured */
export async function measureGpuNetwork(context, network, known) {
  console.log(`\n${network.name}`);
  const { settings, running, sizes, rounds } = context;
  // The processor is no match for single layers.
  const sides = context.sides.filter(({ name }) => name !== 'wasm');
  const result = { name: network.name, layers: [] };
  const peers = new Map();
  const failed = new Map();
  try {
    for (const { process } of sides) {
      if (peers.has(process) || failed.has(process)) continue;
      try {
        peers.set(process, await startProcess(process, settings, running));
      } catch (error) {
        failed.set(process, sentenceOf(error));
      }
    }
    if (failed.size > 0) result.failed = Object.fromEntries(failed);
    const ours = [...peers].find(([name]) => name.startsWith('webgpu'))?.[1];
    if (!ours) return result;
    const { layers } = await ours.ask({ do: 'layersOf', ...network });
    for (const layer of layers) {
      const one = { ...layer, name: layerName(layer) };
      result.layers.push(...(await measureLayer(context, one, sides, peers, sizes.layer, rounds)));
      known(result);
    }
  } finally {
    for (const peer of peers.values()) peer.stop();
  }
  return result;
}

async function measureLayer({ ceilings }, layer, sides, peers, { repeats, leastMs }, rounds) {
  // Nobody asks for the gradient of the scan.
  const passes = ['forward', ...(layer.inChannels === 1 ? [] : ['input gradient']), 'filter gradient'];
  const records = passes.map((pass) => ({ name: layer.name, pass, times: layer.times, sides: {} }));
  let work;
  for (let round = 0; round < rounds; round++)
    for (const side of sides) {
      const peer = peers.get(side.process);
      if (!peer || records[0].sides[side.name]?.failed) continue;
      try {
        const answer = await peer.ask({ do: 'layer', ...layer, passes, repeats, leastMs, mode: side.mode });
        if (side.ours) work = { flops: answer.flops, bytes: answer.bytes };
        for (const record of records)
          (record.sides[side.name] ??= { all: [] }).all.push(...answer[record.pass]);
      } catch (error) {
        for (const record of records) record.sides[side.name] = { failed: sentenceOf(error) };
      }
    }
  for (const record of records) {
    Object.assign(record, work);
    for (const side of sides) finish(record, side, ceilings);
  }
  table(records.map((record) => rowOf(record, sides)));
  return records;
}

function finish(record, side, ceilings) {
  const own = record.sides[side.name];
  if (!own?.all) return;
  own.ms = median(own.all);
  delete own.all;
  if (!record.flops) return;
  own.tflops = record.flops / own.ms / 1e9;
  if (side.ours)
    own.ofCeiling = shareOfCeiling(ceilings, {
      flops: record.flops,
      bytes: record.bytes,
      ms: own.ms,
      precision: side.precision,
    });
}

function rowOf({ name, pass, sides: figures }, sides) {
  const cells = sides.map(({ name: side }) => {
    const { ms, tflops, ofCeiling, failed } = figures[side] ?? {};
    if (ms === undefined) return `${side} ${failed === undefined ? '' : 'failed'}`;
    const share = ofCeiling
      ? ` ${(100 * ofCeiling.share).toFixed(0)} %${ofCeiling.bound === 'memory' ? 'm' : ''}`
      : '';
    return `${side} ${ms.toFixed(3)} ms ${tflops.toPrecision(3)}${share}`;
  });
  return [`${name}`.padEnd(52), pass.padEnd(15), ...cells.map((cell) => cell.padEnd(32))];
}

/** A layer counts for its step from this share of the time of all of its convolutions on. */
const HEAVY = 0.05;

/** All convolutions of a step together, and the layer that is furthest behind, by pairs of sides. */
export function headlinesOfNetwork({ name, layers }, sides) {
  const lines = [];
  const total = (side) =>
    layers.reduce((sum, layer) => sum + layer.times * (layer.sides[side.name]?.ms ?? NaN), 0);
  for (const mine of sides.filter(({ ours }) => ours)) {
    const own = total(mine);
    if (!(own > 0)) continue;
    const flops = layers.reduce((sum, layer) => sum + layer.times * layer.flops, 0);
    lines.push(
      `${name} ${mine.name} convolutions ${own.toFixed(1)} ms ${(flops / own / 1e9).toPrecision(3)} TFLOP/s`,
    );
    for (const theirs of sides.filter(({ mode }) => mode !== undefined)) {
      const other = total(theirs);
      if (!(other > 0)) continue;
      lines.push(`${name} ${mine.name} convolutions ratio ${(other / own).toFixed(2)}x ${theirs.name}`);
      const heavy = layers.filter((layer) => layer.times * layer.sides[mine.name].ms > HEAVY * own);
      const ratio = (layer) => layer.sides[theirs.name].ms / layer.sides[mine.name].ms;
      const slowest = heavy.reduce((a, b) => (ratio(a) < ratio(b) ? a : b), heavy[0]);
      if (slowest)
        lines.push(
          `${name} ${mine.name} slowest layer above 5 % ratio ${ratio(slowest).toFixed(2)}x ${theirs.name} (${slowest.name}, ${slowest.pass})`,
        );
    }
  }
  return lines;
}
