// Builds dist/: the kernel modules (AssemblyScript), and the programs (esbuild). `--quiet` says only what went wrong.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import asc from 'assemblyscript/asc';
import { microKernels } from '../src/core/engine/wasm/assembly/micro-kernels.mjs';
import { transforms } from '../src/core/engine/wasm/assembly/transforms.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const engine = join(root, 'dist', 'engine');
const assembly = join(root, 'src', 'core', 'engine', 'wasm', 'assembly');
const say = process.argv.includes('--quiet') ? () => {} : console.log;

/** One binary per way of computing; src/core/engine/wasm/modules.ts says which machine can run which. */
const MODULES = {
  simd256: { panel: 16, relaxed: true },
  'simd128-relaxed': { panel: 8, relaxed: true },
  'simd128-strict': { panel: 8, relaxed: false },
};

/** Programs, built where their source exists. */
const PROGRAMS = {
  'src/core/engine/wasm/worker.ts': 'dist/engine/worker.js',
  'src/core/engine/webgpu/probe.ts': 'dist/engine/gpu-probe.js',
  'src/cli/main.ts': 'dist/cli/main.js',
  'src/compute/main.ts': 'dist/compute/main.js',
  'scripts/bench/machine.ts': 'dist/bench/machine.js',
  'scripts/bench/our-peer.ts': 'dist/bench/our-peer.js',
  'scripts/transfer-trial/trial.ts': 'dist/trial/trial.js',
  'scripts/ship-weights/ship.ts': 'dist/trial/ship-weights.js',
  'scripts/mask-figures.ts': 'dist/trial/mask-figures.js',
  'scripts/gpu-trial/conformance.ts': 'dist/gpu-trial/conformance.js',
  'scripts/gpu-trial/curve.ts': 'dist/gpu-trial/curve.js',
  'scripts/loss-curves/main.ts': 'dist/trial/loss-curves.js',
};

/**
 * A module's object itself where its namespace is imported. esbuild would copy all its properties into a new object for
 * every file that imports it: the editor's API has hundreds, which was half of the extension's activation.
 */
function namespaceAsItIs(module) {
  const imported = new RegExp(`^import \\* as (\\w+) from '${module}';`, 'm');
  return {
    name: `namespace of ${module}`,
    setup({ onLoad }) {
      onLoad({ filter: /\.ts$/ }, ({ path }) => {
        const text = readFileSync(path, 'utf8');
        return { contents: text.replace(imported, `import $1 = require('${module}');`), loader: 'ts' };
      });
    },
  };
}

/** The editor's side, built where its source exists: CommonJS in the extension host, modules in a webview. */
const EDITOR = {
  'src/extension/extension.ts': {
    outfile: 'dist/extension/extension.cjs',
    format: 'cjs',
    platform: 'node',
    external: ['vscode'],
    plugins: [namespaceAsItIs('vscode')],
  },
  'src/webview/volume/main.ts': {
    outdir: 'dist/webview',
    entryNames: 'volume',
    // The page draws before NiiVue has arrived, which is a file of its own.
    splitting: true,
    chunkNames: 'volume-[name]',
    format: 'esm',
    platform: 'browser',
    // NiiVue loads these for Zarr arrays, which are not shown here: 1.4 MB of other people's inflaters.
    external: ['numcodecs/*'],
  },
  'src/webview/inspector/main.ts': {
    outfile: 'dist/webview/inspector.js',
    format: 'iife',
    platform: 'browser',
  },
};

await buildModules();
await buildPrograms();
await buildEditor();

async function buildModules() {
  const sources = readdirSync(assembly)
    .sort()
    .map((name) => [name, readFileSync(join(assembly, name), 'utf8')]);
  const compiler = JSON.parse(
    readFileSync(join(root, 'node_modules/assemblyscript/package.json'), 'utf8'),
  ).version;
  const hash = createHash('sha256')
    .update(JSON.stringify([compiler, MODULES, sources]))
    .digest('hex');
  // Timings count for these kernels and for how they are driven.
  const drivers = readdirSync(dirname(assembly))
    .filter((name) => name.endsWith('.ts'))
    .sort()
    .map((name) => readFileSync(join(dirname(assembly), name), 'utf8'));
  mkdirSync(engine, { recursive: true });
  writeFileSync(
    join(engine, 'kernels.sha256'),
    createHash('sha256')
      .update(JSON.stringify([hash, drivers]))
      .digest('hex'),
  );
  const stamp = join(engine, 'modules.sha256');
  const built = Object.keys(MODULES).every((name) => existsSync(join(engine, `${name}.wasm`)));
  if (built && existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return;

  for (const [name, module] of Object.entries(MODULES)) {
    // Each module is compiled from a folder of its own: the sources and its micro-kernels.
    const folder = join(root, 'dist', 'assembly', name);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    for (const [file, text] of sources) if (file.endsWith('.ts')) writeFileSync(join(folder, file), text);
    writeFileSync(join(folder, 'micro-kernels.ts'), microKernels(module));
    writeFileSync(join(folder, 'transforms.ts'), transforms());
    await compile(join(folder, 'index.ts'), join(engine, `${name}.wasm`), module.relaxed);
    say(`dist/engine/${name}.wasm`);
  }
  writeFileSync(stamp, hash);
}

async function compile(source, target, relaxed) {
  const features = ['simd', 'threads', ...(relaxed ? ['relaxed-simd'] : [])];
  const { error, stderr } = await asc.main([
    source,
    ...['--outFile', target, '-O3', '--noAssert', '--runtime', 'stub'],
    ...features.flatMap((feature) => ['--enable', feature]),
    ...['--importMemory', '--sharedMemory', '--initialMemory', '1', '--maximumMemory', '65536'],
    // Their tables lie between the control words and the first area (control.ts).
    ...['--memoryBase', '16384'],
  ]);
  if (error) throw new Error(`${source} does not compile: ${error.message}\n${stderr}`);
}

async function buildPrograms() {
  for (const [source, target] of Object.entries(PROGRAMS)) {
    if (!existsSync(join(root, source))) continue;
    const options = {
      entryPoints: [join(root, source)],
      outfile: join(root, target),
      bundle: true,
      format: 'esm',
      platform: 'node',
      target: 'node20',
      sourcemap: true,
      legalComments: 'none',
      logLevel: 'warning',
      // Native code, which a platform package brings along; without it the engine webgpu says so.
      external: ['webgpu'],
      // One copy of tfjs-core, whichever of its files asks for it.
      mainFields: ['module', 'main'],
      // CommonJS dependencies call require.
      banner: {
        js: "import { createRequire as fcdCreateRequire } from 'node:module'; const require = fcdCreateRequire(import.meta.url);",
      },
    };
    try {
      await build(options);
      say(target);
    } catch {
      process.exitCode = 1; // esbuild has said why; the other programs are still worth having
    }
  }
}

async function buildEditor() {
  for (const [source, { outfile, outdir, ...options }] of Object.entries(EDITOR)) {
    if (!existsSync(join(root, source))) continue;
    try {
      await build({
        entryPoints: [join(root, source)],
        ...(outfile ? { outfile: join(root, outfile) } : { outdir: join(root, outdir) }),
        bundle: true,
        minify: true,
        sourcemap: 'linked',
        target: 'es2022',
        legalComments: 'none',
        logLevel: 'warning',
        ...options,
      });
      say(outfile ?? outdir);
    } catch {
      process.exitCode = 1;
    }
  }
}
