// Measures how weights files are read: `node scripts/run-node.mjs scripts/bench-weights.mjs [FOLDER]`. Files the size of
// MedicalNet's are made in FOLDER (kept there; a temporary one is removed) by scripts/torch-resnet-files.py. Each reading
// has a process of its own; time is the median of five readings with a warm cache, in turns with torch.load; peak is the
// process's largest resident memory, everything included.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const cliMain = join(root, 'dist/cli/main.js');
const bundle = join(root, 'dist/bench/weights.js');
const python = process.env.FCD_PYTHON ?? '/usr/bin/python3';
const PROCESSES = 5;
const ROUNDS = 4;
const READ = ['50-B-legacy', '50-B-zip'];
const STREAMED = ['50-B-legacy', '50-B-zip', '200-B-legacy', '200-B-zip'];
const IMPORTED = ['50-B-legacy', '101-B-zip'];

const TORCH = `
import json, resource, sys, time, torch
times = []
for _ in range(int(sys.argv[2])):
    start = time.perf_counter()
    held = torch.load(sys.argv[1], map_location="cpu")
    times.append(time.perf_counter() - start)
    del held
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"times": times, "peak": peak, "version": torch.__version__}))
`;

await main(process.argv[2]);

async function main(given) {
  await build({
    entryPoints: [join(root, 'src/core/weights/read-weights.ts')],
    outfile: bundle,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    logLevel: 'warning',
  });
  const folder = given ?? mkdtempSync(join(tmpdir(), 'fcd-bench-weights-'));
  mkdirSync(folder, { recursive: true });
  try {
    const path = (name) => join(folder, `resnet_${name}.pth`);
    const missing = [...new Set([...READ, ...STREAMED, ...IMPORTED])].filter(
      (name) => !existsSync(path(name)),
    );
    if (missing.length > 0)
      execFileSync(python, [join(root, 'scripts/torch-resnet-files.py'), folder, ...missing]);
    readings(path);
    streamings(path);
    if (existsSync(cliMain)) imports(path, folder);
    else console.log('fcd import is not measured: run npm run build first.');
  } finally {
    if (given === undefined) rmSync(folder, { recursive: true });
  }
}

function readings(path) {
  const idle = ours(path(READ[0]), 0).peak;
  const rows = READ.map((name) => {
    for (const reader of [ours, torch]) reader(path(name), 1); // warms the cache
    // In turns, so that a busy machine is unfair to neither.
    const pairs = Array.from({ length: PROCESSES }, () => [
      ours(path(name), ROUNDS),
      torch(path(name), ROUNDS),
    ]);
    const [here, there] = [0, 1].map((who) => median(pairs.map((pair) => pair[who].times[0])));
    const [again, thereAgain] = [0, 1].map((who) =>
      median(pairs.flatMap((pair) => pair[who].times.slice(1))),
    );
    const peak = ours(path(name), 1).peak;
    const { peak: torchPeak, version } = torch(path(name), 1);
    const bytes = statSync(path(name)).size;
    return [
      ...[`resnet_${name}.pth`, mega(bytes), milli(here), milli(there), (here / there).toFixed(2)],
      ...[milli(again), milli(thereAgain), (again / thereAgain).toFixed(2)],
      ...[
        mega(peak),
        (peak / bytes).toFixed(2),
        ((peak - idle) / bytes).toFixed(2),
        mega(torchPeak),
        version,
      ],
    ];
  });
  const version = rows[0].at(-1);
  console.log(
    `${cpus()[0].model.trim()}, ${cpus().length} cores; Node ${process.version}; torch ${version}\n`,
  );
  console.log(`Whole file in memory (a Node that reads nothing peaks at ${mega(idle)} MB)`);
  table(
    [
      'file',
      'MB',
      'first ms',
      'torch',
      'ratio',
      'again ms',
      'torch',
      'ratio',
      'peak MB',
      'peak / file',
      'above idle / file',
      'torch peak MB',
    ],
    rows.map((row) => row.slice(0, -1)),
  );
}

function streamings(path) {
  const idle = ours(path(STREAMED[0]), 0, 'streamed').peak;
  const rows = STREAMED.map((name) => {
    const { peak, times } = ours(path(name), 1, 'streamed');
    return [
      ...[`resnet_${name}.pth`, mega(statSync(path(name)).size), milli(times[0])],
      ...[mega(peak), mega(peak - idle)],
    ];
  });
  console.log(
    `Tensor by tensor (a Node that reads nothing peaks at ${mega(idle)} MB; largest tensor 28.3 MB)`,
  );
  table(['file', 'MB', 'ms', 'peak MB', 'above idle MB'], rows);
}

function imports(path, folder) {
  const out = join(folder, 'imported.safetensors');
  const report = "process.on('exit', () => process._rawDebug(process.resourceUsage().maxRSS))";
  const cli = (args) => {
    const run = spawnSync(
      process.execPath,
      ['--import', `data:text/javascript,${report}`, cliMain, ...args],
      {
        encoding: 'utf8',
      },
    );
    if (run.status !== 0) throw new Error(run.stderr);
    return Number(run.stderr.trim().split('\n').at(-1)) * 1024;
  };
  const idle = cli(['--version']);
  const rows = IMPORTED.map((name) => {
    const start = performance.now();
    const peak = cli(['import', path(name), '--geometry', 'medicalnet', '--axes', 'kji', '--out', out]);
    const seconds = (performance.now() - start) / 1000;
    return [
      `resnet_${name}.pth`,
      mega(statSync(path(name)).size),
      milli(seconds),
      mega(peak),
      mega(peak - idle),
    ];
  });
  console.log(
    `fcd import, the whole process with its hash and its writing (fcd --version peaks at ${mega(idle)} MB)`,
  );
  table(['file', 'MB', 'ms', 'peak MB', 'above idle MB'], rows);
}

function ours(path, times, how = 'whole') {
  const script = join(root, 'scripts/bench/read-weights.mjs');
  const args = [script, pathToFileURL(bundle).href, how, path, String(times)];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' }));
}

function torch(path, times) {
  return JSON.parse(execFileSync(python, ['-c', TORCH, path, String(times)], { encoding: 'utf8' }));
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

function mega(bytes) {
  return (bytes / 1e6).toFixed(1);
}

function milli(seconds) {
  return (seconds * 1000).toFixed(0);
}

function table(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  console.log(
    ['', line(head), line(head.map((_, i) => (i === 0 ? '---' : '--:'))), ...rows.map(line), ''].join('\n'),
  );
}
