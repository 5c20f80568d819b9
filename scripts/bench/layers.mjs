// Single convolutions: forward, input gradient and filter gradient.
import { CASES } from './cases.mjs';
import { layerName } from './layer-name.mjs';
import { median, table } from './print.mjs';

const cube = (n) => [n, n, n];
const shape = (name, batch, grid, [inChannels, outChannels], kernel = 3, stride = 1, dilation = 1) => ({
  name: `layers ${name}`,
  batch,
  input: cube(grid),
  inChannels,
  outChannels,
  kernel: cube(kernel),
  stride: cube(stride),
  padding: cube((dilation * (kernel - 1)) / 2),
  dilation: cube(dilation),
});
const SHAPES = [
  shape('3x3x3, 64 channels at 24^3, N 4', 4, 24, [64, 64]),
  shape('3x3x3, 128 channels at 12^3, N 4', 4, 12, [128, 128]),
  shape('3x3x3, 256 channels at 6^3, N 4', 4, 6, [256, 256]),
  shape('3x3x3, 512 channels at 3^3, N 4', 4, 3, [512, 512]),
  shape('3x3x3 stride 2, 64 to 128 at 24^3, N 4', 4, 24, [64, 128], 3, 2),
  shape('1x1x1 stride 2, 64 to 128 at 24^3, N 4', 4, 24, [64, 128], 1, 2),
  shape('3x3x3 dilation 2, 256 channels at 12^3, N 4', 4, 12, [256, 256], 3, 1, 2),
  shape('3x3x3 dilation 4, 512 channels at 12^3, N 4', 4, 12, [512, 512], 3, 1, 4),
  shape('7x7x7 stride 2, 1 to 64 at 96^3, N 4', 4, 96, [1, 64], 7, 2),
  shape('3x3x3, 16 channels at 24^3, N 4', 4, 24, [16, 16]),
];
const GRIDS = [32, 48, 64, 96, 128].map((grid) => ({
  ...shape(`at ${grid}^3`, 1, grid, [64, 64]),
  name: `grids 3x3x3, 64 channels at ${grid}^3`,
}));

const passesOf = (geometry) => [
  'forward',
  ...(geometry.inChannels === 1 ? [] : ['input gradient']), // nobody asks for the gradient of the scan
  'filter gradient',
];

export async function measureLayers(context, headlines) {
  const shapes = SHAPES.filter(({ name }) => context.isWanted(name));
  const results = await measureShapes(context, shapes);
  if (context.settings.torch && results.length > 0) {
    const slowest = results.reduce((a, b) => (a.ratio < b.ratio ? a : b));
    headlines.push(
      `layers slowest ratio ${slowest.ratio.toFixed(2)}x (${slowest.name.slice(7)}, ${slowest.pass})`,
    );
  }
  return results;
}

/** GFLOP/s of one layer as its grid grows. */
export async function measureGrids(context, headlines) {
  const shapes = GRIDS.filter(({ name }) => context.isWanted(name));
  const results = await measureShapes(context, shapes);
  if (results.length > 1)
    for (const pass of passesOf(shapes[0])) {
      const all = results.filter((result) => result.pass === pass).map(({ gflops }) => gflops);
      headlines.push(`grids 64 channels ${pass} last to first ratio ${(all.at(-1) / all[0]).toFixed(2)}x`);
    }
  return results;
}

/** A layer counts for its step from this share of the time of all of its convolutions on. */
const HEAVY = 0.05;

/** Every convolution of the networks that are trained, and what share of its step's convolutions it is. */
export async function measureNetworks(context, headlines) {
  const networks = CASES.filter(({ kind }) => kind === 'step').map((one) => ({
    ...one,
    name: one.name.replace('step', 'network'),
  }));
  const results = [];
  for (const network of networks.filter(({ name }) => context.isWanted(name)))
    results.push(await measureNetwork(context, network, headlines));
  return results;
}

async function measureNetwork(context, network, headlines) {
  const probe = await context.start({ torch: false });
  const { layers } = await probe.ours.ask({ do: 'layersOf', ...network });
  probe.stop();
  const shapes = layers.map((layer) => ({ ...layer, name: layerName(layer) }));
  console.log(`\n${network.name}`);
  const results = await measureShapes(context, shapes);
  const cost = ({ ms, times }) => ms * times;
  const total = results.reduce((sum, result) => sum + cost(result), 0);
  for (const result of results) result.share = cost(result) / total;
  if (context.settings.torch) {
    const torchTotal = results.reduce((sum, { torchMs, times }) => sum + torchMs * times, 0);
    headlines.push(`${network.name} convolutions ratio ${(torchTotal / total).toFixed(2)}x`);
    const slowest = (some) => some.reduce((a, b) => (a.ratio < b.ratio ? a : b));
    const say = (what, { ratio, name, pass }) =>
      headlines.push(`${network.name} ${what} ratio ${ratio.toFixed(2)}x (${name}, ${pass})`);
    say('slowest layer', slowest(results));
    say('slowest layer above 5 %', slowest(results.filter(({ share }) => share > HEAVY)));
  }
  return { name: network.name, layers: results };
}

async function measureShapes({ start, rounds, peak }, shapes) {
  if (shapes.length === 0) return [];
  const peers = await start();
  const results = [];
  try {
    console.log('');
    for (const geometry of shapes) results.push(...(await measureShape(peers, geometry, rounds, peak)));
  } finally {
    peers.stop();
  }
  return results;
}

async function measureShape(peers, geometry, rounds, peak) {
  const passes = passesOf(geometry);
  const volume = (sizes) => sizes.reduce((a, b) => a * b, 1);
  const products = geometry.inChannels * geometry.outChannels * volume(geometry.kernel);
  const outputs =
    geometry.batch * volume(geometry.input.map((size, a) => Math.ceil(size / geometry.stride[a])));
  const repeats = Math.max(2, Math.min(12, Math.round(4e9 / (2 * products * outputs))));
  const times = Object.fromEntries(passes.map((pass) => [pass, { ours: [], torch: [] }]));
  let flops;
  for (let round = 0; round < rounds; round++)
    for (const side of ['torch', 'ours']) {
      if (!peers[side]) continue;
      const answer = await peers[side].ask({ do: 'layer', ...geometry, passes, repeats });
      flops = answer.flops ?? flops;
      for (const pass of passes) times[pass][side].push(...answer[pass]);
    }
  const rows = [];
  const results = passes.map((pass) => {
    const { ours, torch } = times[pass];
    const ms = median(ours);
    const gflops = flops / ms / 1e6;
    const torchMs = torch.length > 0 ? median(torch) : undefined;
    const torchGflops = torchMs && flops / torchMs / 1e6;
    const ratio = torchGflops && gflops / torchGflops;
    rows.push([
      geometry.name.replace('layers ', '').padEnd(46),
      pass.padEnd(15),
      `${ms.toFixed(1).padStart(6)} ms`,
      `${gflops.toFixed(0).padStart(5)} GFLOP/s`,
      `${((100 * gflops) / peak).toFixed(0)} % of peak`.padStart(14),
      ratio ? `torch ${torchGflops.toFixed(0).padStart(4)}  ratio ${ratio.toFixed(2)}` : '',
    ]);
    const { name, times: occurs = 1 } = geometry;
    return { name, pass, times: occurs, ms, torchMs, gflops, torchGflops, ratio, ofPeak: gflops / peak };
  });
  table(rows);
  return results;
}
