import { stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { StoppedError } from '../../core/errors';
import { factsOfFile } from '../../core/inspect/facts-of-file';
import { layerTable, parseGrid, type Grid, type LayerTable } from '../../core/inspect/layer-table';
import { describeNetworkOfFile, learnableValues, networkOrReason } from '../../core/inspect/network-of-file';
import { statisticsOfTensors } from '../../core/inspect/statistics-of-tensors';
import { checkpointPath } from '../../core/model/checkpoint';
import {
  byRelativeChange,
  changesBetween,
  matchWeights,
  type TensorChange,
  type WeightsMatch,
} from '../../core/weights/compare';
import type { OpenWeights } from '../../core/weights/open-weights';
import { withWeights } from '../../core/weights/read-weights';
import type { Histogram, TensorStatistics } from '../../core/weights/statistics';
import { elementCount } from '../../core/weights/tensors';
import { addGeometryOption, type NetworkFlags } from '../options';
import { Progress, print, printJson, stopOnInterrupt, table, tell } from '../terminal';

interface InspectFlags extends Pick<NetworkFlags, 'geometry'> {
  readonly compare?: string;
  readonly grid?: string;
  readonly json?: boolean;
}

export function addInspect(fcd: Command): void {
  const command = fcd
    .command('inspect')
    .argument('<file>', 'a .pth, .pt or .safetensors file, or a run directory')
    .description(
      'what is in a checkpoint: statistics, NaN, dead filters, the network and its layers, the change from another one',
    )
    .option('--compare <other>', 'how far each tensor moved from <file> to this one')
    .option('--grid <96|IxJxK>', 'layers, parameters and FLOPs of the network on this grid of voxels');
  addGeometryOption(command).option('--json', 'JSON on standard output').action(run);
}

async function run(given: string, flags: InspectFlags): Promise<void> {
  const stop = stopOnInterrupt();
  const grid = flags.grid === undefined ? undefined : parseGrid(flags.grid);
  const path = await checkpointPath(given);
  const progress = new Progress(flags.json);
  await withWeights(path, async (file) => {
    const network = networkOrReason(file, path, flags.geometry);
    const known = 'spec' in network;
    const layers = known && grid ? layerTable(network, grid) : undefined;
    const common = { path, bytes: (await stat(path)).size, file, network, layers };
    if (flags.compare !== undefined) {
      const other = await checkpointPath(flags.compare);
      const { match, changes } = await compared(file, other, progress, stop);
      if (flags.json) printJson({ ...head(common), compare: { other, ...match, pairs: undefined, changes } });
      else {
        printHead(common);
        printChanges(other, match, changes);
      }
    } else {
      const tensors = await looked(file, progress, stop);
      if (flags.json) printJson({ ...head(common), tensors });
      else {
        printHead(common);
        printTensors(tensors);
      }
    }
    if (!flags.json && layers) printLayers(layers);
    if (!flags.json && grid && !known)
      tell('There are no layers to show: the file is no network that is known here.');
    for (const warning of file.warnings) tell(`warning: ${warning}`);
  });
}

interface Common {
  readonly path: string;
  readonly bytes: number;
  readonly file: OpenWeights;
  readonly network: ReturnType<typeof networkOrReason>;
  readonly layers: LayerTable | undefined;
}

async function looked(file: OpenWeights, progress: Progress, stop: AbortSignal): Promise<TensorStatistics[]> {
  const rows = new Map<string, TensorStatistics>();
  const meter = meterOf(
    'reading',
    2 * valuesOf(file, [...file.tensors.keys()]),
    progress,
    stop,
    () => `${rows.size} of ${file.tensors.size} tensors`,
  );
  for await (const row of statisticsOfTensors(file, undefined, meter)) rows.set(row.name, row);
  progress.end();
  return [...file.tensors.keys()].flatMap((name) => rows.get(name) ?? []);
}

async function compared(
  file: OpenWeights,
  other: string,
  progress: Progress,
  stop: AbortSignal,
): Promise<{ match: WeightsMatch; changes: TensorChange[] }> {
  return withWeights(other, async (there) => {
    const match = matchWeights(file.tensors, there.tensors);
    const changes: TensorChange[] = [];
    const names = match.pairs.map(({ name }) => name);
    const meter = meterOf(
      'comparing',
      valuesOf(file, names),
      progress,
      stop,
      () => `${changes.length} of ${names.length} tensors`,
    );
    for await (const change of changesBetween(file, there, match.pairs, meter)) changes.push(change);
    progress.end();
    return { match, changes: byRelativeChange(changes) };
  });
}

/** Shows progress by values, and ends the work when the person stops it. */
function meterOf(
  title: string,
  total: number,
  progress: Progress,
  stop: AbortSignal,
  detail: () => string,
): (values: number) => Promise<void> {
  let done = 0;
  return async (values) => {
    done += values;
    progress.update(title, done, total, detail());
    await new Promise((resolve) => setImmediate(resolve)); // signals are heard between two turns
    if (!stop.aborted) return;
    progress.end();
    throw new StoppedError('Stopped; nothing was written.');
  };
}

function valuesOf(file: OpenWeights, names: readonly string[]): number {
  return names.reduce((sum, name) => sum + elementCount(file.tensors.get(name)?.shape ?? [0]), 0);
}

function head({ path, bytes, file, network, layers }: Common): object {
  const { format, metadata, warnings } = file;
  const known = 'spec' in network;
  return {
    ...{
      file: path,
      format,
      bytes,
      metadata,
      warnings,
      learnable: learnableValues(file),
      facts: factsOfFile(file),
    },
    network: known ? network.spec : null,
    geometryFrom: known ? network.geometryFrom : null,
    geometries: known ? network.found.geometries : null,
    reason: known ? null : network.reason,
    layers: layers ?? null,
  };
}

function printHead({ path, bytes, file, network }: Common): void {
  print(`${path}: ${file.format}, ${file.tensors.size} tensors, ${(bytes / 1e6).toFixed(1)} MB`);
  print('spec' in network ? describeNetworkOfFile(network) : network.reason);
  print(`${learnableValues(file).toLocaleString('en')} learnable values`);
  for (const { name, value } of factsOfFile(file)) print(printable(`${name}: ${value}`));
  print('');
}

function printTensors(tensors: readonly TensorStatistics[]): void {
  const cells = tensors.map(
    ({ name, shape, dtype, min, mean, sd, max, zeros, nan, inf, filters, histogram }) => [
      printable(name),
      shape.join('x') || 'scalar',
      dtype,
      ...[min, mean, sd, max].map(short),
      ...[zeros, nan, inf].map((count) => (count === 0 ? '' : String(count))),
      filters === null || filters.dead.length === 0 ? '' : `${filters.dead.length}/${filters.filters}`,
      histogram ? bars(histogram) : '',
    ],
  );
  const titles = [
    'name',
    'shape',
    'dtype',
    'min',
    'mean',
    'sd',
    'max',
    'zeros',
    'NaN',
    'Inf',
    'dead',
    'histogram',
  ];
  print(table(titles, cells));
  for (const { name, filters } of tensors)
    if (filters && filters.dead.length > 0)
      print(
        `${printable(name)}: ${filters.dead.length} of ${filters.filters} filters are dead (largest |weight| at most 1/1000 of the layer's root mean square): ${some(filters.dead)}`,
      );
}

function printChanges(other: string, match: WeightsMatch, changes: readonly TensorChange[]): void {
  const moved = changes.filter(({ changed }) => changed > 0);
  print(`from the first to ${other}: ${moved.length} of ${changes.length} tensors moved`);
  print('');
  const cells = changes.map(({ name, shape, relative, l2, cosine, max, changed, compared, notFinite }) => [
    printable(name),
    shape.join('x') || 'scalar',
    relative === null ? 'from 0' : short(relative),
    short(l2),
    short(cosine),
    short(max),
    compared === 0 ? '-' : `${((100 * changed) / compared).toFixed(0)} %`,
    notFinite === 0 ? '' : String(notFinite),
  ]);
  print(table(['name', 'shape', 'relative', 'L2', 'cosine', 'largest', 'changed', 'not finite'], cells));
  for (const [what, names] of [
    ['only in the first', match.missing],
    ['only in the second', match.unexpected],
    [
      'of another shape',
      match.mismatched.map(
        ({ name, here, there }) => `${name} [${here.join(', ')}] to [${there.join(', ')}]`,
      ),
    ],
  ] as const)
    if (names.length > 0) print(`${what}: ${names.map(printable).join(', ')}`);
}

function printLayers({ input, layers, parameters, flops }: LayerTable): void {
  const cells = layers.map(({ name, what, channels, grid, parameters: own, flops: cost }) => [
    name,
    what,
    `${channels}${grid ? ` x ${sides(grid)}` : ''}`,
    own.toLocaleString('en'),
    cost === 0 ? '' : flopsText(cost),
  ]);
  print(`\non ${input.channels} x ${sides(input.grid)} (i x j x k):`);
  print(table(['layer', 'what it does', 'output', 'parameters', 'FLOPs'], cells));
  print(
    `${parameters.toLocaleString('en')} parameters, ${flopsText(flops)}FLOP a forward pass (convolutions; a multiply-add is two)`,
  );
}

/** `52.9 G`, `691.0 M`. */
function flopsText(flops: number): string {
  if (flops >= 1e12) return `${(flops / 1e12).toFixed(1)} T`;
  return flops >= 1e9 ? `${(flops / 1e9).toFixed(1)} G` : `${(flops / 1e6).toFixed(1)} M`;
}

function sides(grid: Grid): string {
  return grid.join('x');
}

/** A name is the file's: it must not steer the terminal. */
function printable(name: string): string {
  return name.replace(/\p{Cc}/gu, '\ufffd');
}

function short(value: number | null): string {
  return value === null ? '-' : String(Number(value.toPrecision(4)));
}

function some(numbers: readonly number[]): string {
  const more = numbers.length > 20 ? ` and ${numbers.length - 20} more` : '';
  return numbers.slice(0, 20).join(', ') + more;
}

const HEIGHTS = ' ▁▂▃▄▅▆▇█';
const BARS = 16;

/** A histogram as a row of block characters. */
function bars({ counts }: Histogram): string {
  const width = Math.max(1, counts.length / BARS);
  const sums = Array.from({ length: Math.min(BARS, counts.length) }, (_, bar) =>
    counts.slice(Math.floor(bar * width), Math.floor((bar + 1) * width)).reduce((a, b) => a + b, 0),
  );
  const most = Math.max(...sums);
  return sums.map((sum) => HEIGHTS[sum === 0 ? 0 : Math.max(1, Math.round((8 * sum) / most))]).join('');
}
