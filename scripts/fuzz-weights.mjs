// Changes real weights files at random and reads each: `node scripts/run-node.mjs scripts/fuzz-weights.mjs FOLDER
// [MUTATIONS [SEED]]`. FOLDER holds .pth, .pt or .safetensors files. A change is one that the tests make too
// (test/unit/weights/mutations.ts), half of them near the file's edges, where its structure is. Anything but a whole file
// or a sentence ends the run with the number that makes the same change again.
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const [folder, mutations = '20000', seed = '1'] = process.argv.slice(2);
if (!folder) throw new Error('Give the folder of the files to change.');
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const bundle = join(root, 'dist/bench/fuzz-weights.js');
await build({
  stdin: {
    contents: `export * from './test/unit/weights/mutations'; export { Random } from './src/core/random';`,
    resolveDir: root,
    loader: 'ts',
  },
  outfile: bundle,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  logLevel: 'warning',
});
const { Random, mutated, outcome, repacked } = await import(pathToFileURL(bundle).href);

const rows = [];
for (const name of readdirSync(folder).filter((file) => /\.(pth|pt|safetensors)$/.test(file))) {
  const bytes = new Uint8Array(readFileSync(join(folder, name)));
  const anywhere = (random, i) => mutated(bytes, random, i % 2 === 0 ? 20_000 : Infinity);
  rows.push({ name, bytes, change: anywhere });
  if (bytes[0] !== 0x50 || bytes[1] !== 0x4b) continue;
  // A checksum tells every change of a zip file: these change its pickle alone, with the right checksum.
  const pack = await repacked(bytes);
  rows.push({
    name: `${name}, pickle`,
    bytes,
    change: (random) => pack((pickle) => mutated(pickle, random)),
  });
}
const each = Math.ceil(Number(mutations) / rows.length);
let done = 0;
console.log(
  '| file | bytes | changes | read | refused | slowest ms |\n| --- | --: | --: | --: | --: | --: |',
);
for (const { name, bytes, change } of rows) {
  const counts = { read: 0, refused: 0 };
  let slowest = 0;
  for (let i = 0; i < each && done < Number(mutations); i++, done++) {
    const changed = change(Random.seeded(Number(seed), `${name}/${i}`), i);
    const start = performance.now();
    try {
      counts[await outcome(changed)]++;
    } catch (error) {
      throw new Error(`Change ${i} of ${name} with seed ${seed}`, { cause: error });
    }
    slowest = Math.max(slowest, performance.now() - start);
  }
  const total = counts.read + counts.refused;
  console.log(
    `| ${name} | ${bytes.length} | ${total} | ${counts.read} | ${counts.refused} | ${slowest.toFixed(0)} |`,
  );
}
const peak = (process.resourceUsage().maxRSS / 1024).toFixed(0);
console.log(
  `\n${done} changes, every one read whole or refused by a sentence; peak memory ${peak} MiB; Node ${process.version}`,
);
