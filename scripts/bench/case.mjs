// One network, ours and PyTorch's in turns, each in a process of its own, so that the peak of its memory is its alone.
import { median, printProfile, table } from './print.mjs';

export async function measureCase(context, one, headlines) {
  console.log(`\n${one.name}`);
  return one.kind === 'threads' ? measureThreads(context, one, headlines) : inTurns(context, one, headlines);
}

async function inTurns({ start, rounds, peak, settings }, one, headlines) {
  const peers = await start();
  const sides = { ours: peers.ours, torch: peers.torch };
  const times = {};
  const result = { ...one };
  try {
    const kinds = one.kind === 'gradcam' ? ['gradcam', 'inference'] : [one.kind];
    for (const [side, peer] of Object.entries(sides)) {
      if (!peer) continue;
      const { flops } = await peer.ask({ do: 'open', ...one });
      if (flops) result.flops = flops;
      for (const kind of kinds) {
        await peer.ask({ do: kind });
        times[`${side} ${kind}`] = [];
      }
    }
    for (let round = 0; round < rounds; round++)
      for (const kind of kinds)
        for (const [side, peer] of Object.entries(sides))
          if (peer) times[`${side} ${kind}`].push((await peer.ask({ do: kind })).ms);
    for (const [side, peer] of Object.entries(sides))
      if (peer) result[`${side}Memory`] = await peer.ask({ do: 'memory' });
    // The quickest of a few runs: what disturbed it least.
    for (let round = 0; settings.profile && round < rounds; round++) {
      const profile = await peers.ours.ask({ do: 'profile', kind: kinds[0] });
      if (!result.profile || profile.total < result.profile.total) result.profile = profile;
    }
  } finally {
    peers.stop();
  }
  const medians = Object.fromEntries(Object.entries(times).map(([key, all]) => [key, median(all)]));
  result.ms = medians;
  result.times = times;
  const rows = Object.entries(medians).map(([key, ms]) => {
    const [side, kind] = key.split(' ');
    const all = times[key];
    const memory = result[`${side}Memory`];
    const gflops = kind === one.kind && result.flops ? result.flops / ms / 1e6 : undefined;
    return [
      side,
      kind,
      `${ms.toFixed(0)} ms`,
      `best ${Math.min(...all).toFixed(0)}`,
      gflops ? `${gflops.toFixed(0)} GFLOP/s` : '',
      gflops ? `${((100 * gflops) / peak).toFixed(0)} % of peak` : '',
      memory ? `peak ${gigabytes(memory.peak)} GB resident` : '',
    ];
  });
  table(rows);
  const { ours, torch } = { ours: medians[`ours ${one.kind}`], torch: medians[`torch ${one.kind}`] };
  if (torch) {
    result.ratio = torch / ours;
    headlines.push(`${one.name} ratio ${result.ratio.toFixed(2)}x`);
    result.memoryRatio = result.oursMemory.peak / result.torchMemory.peak;
    headlines.push(`memory ${one.name} ratio ${result.memoryRatio.toFixed(2)}x`);
  }
  if (one.kind === 'gradcam') {
    result.overInference = ours / medians['ours inference'];
    headlines.push(`${one.name} over inference ${result.overInference.toFixed(2)}x`);
  }
  if (result.profile) printProfile(result.profile);
  return result;
}

async function measureThreads({ start, rounds, threads }, one, headlines) {
  if (threads === 1) return { ...one, skipped: 'one thread' };
  const [single, all] = [await start({ threads: 1, torch: false }), await start({ torch: false })];
  const times = { single: [], all: [] };
  try {
    for (const peers of [single, all]) {
      await peers.ours.ask({ do: 'open', ...one });
      await peers.ours.ask({ do: 'step' });
    }
    for (let round = 0; round < rounds; round++) {
      times.single.push((await single.ours.ask({ do: 'step' })).ms);
      times.all.push((await all.ours.ask({ do: 'step' })).ms);
    }
  } finally {
    single.stop();
    all.stop();
  }
  const [slow, fast] = [median(times.single), median(times.all)];
  table([
    ['1 thread', `${slow.toFixed(0)} ms`],
    [`${threads} threads`, `${fast.toFixed(0)} ms`],
  ]);
  headlines.push(`${one.name} 1 to ${threads} ratio ${(slow / fast).toFixed(2)}x`);
  return { ...one, times, ratio: slow / fast };
}

const gigabytes = (bytes) => (bytes / 2 ** 30).toFixed(2);
