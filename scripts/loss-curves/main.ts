// Do the engines learn alike? `npm run loss-curves -- [--steps 200] [--seeds 3] [--out FILE]`
// trains a small network on the engine wasm and on the GPU in single and half precision, from the same seeds, and prints
// how far their loss curves are apart beside how far seeds are apart.
import { parseArgs } from 'node:util';
import type { EngineOptions } from '../../src/core/engine/engine';
import { writeJson } from '../../src/core/files/whole';
import { agreementOf, smoothed, WINDOW } from './curve-distance.mjs';
import { curveOf, type Curve } from './curves';

const ENGINES: Readonly<Record<string, EngineOptions>> = {
  wasm: { engine: 'wasm' },
  'webgpu f32': { engine: 'webgpu' },
  'webgpu f16': { engine: 'webgpu', precision: 'f16' },
};

const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '200' },
    seeds: { type: 'string', default: '3' },
    out: { type: 'string' },
  },
});
const [steps, seeds] = [Number(values.steps), Number(values.seeds)];
if (!(Number.isInteger(steps) && steps >= WINDOW && Number.isInteger(seeds) && seeds >= 2))
  throw new Error(`--steps takes a whole number of at least ${WINDOW}, --seeds one of at least 2.`);

const curves: Curve[] = [];
for (const [name, options] of Object.entries(ENGINES))
  for (let seed = 1; seed <= seeds; seed++) {
    const began = performance.now();
    const curve = await curveOf(name, options, seed, steps);
    curves.push(curve);
    process.stderr.write(
      `${name}, seed ${seed}: ${((performance.now() - began) / 1000).toFixed(0)} s, held-out loss ${curve.heldOut.toFixed(4)}\n`,
    );
  }

const row = (cells: readonly (string | number)[]): void => console.log(`| ${cells.join(' | ')} |`);
const mid = Math.floor((steps - WINDOW) / 2);
row(['engine', 'seed', `steps 1-${WINDOW}`, 'middle', `last ${WINDOW}`, 'held-out loss', 'steps left out']);
row(new Array<string>(7).fill('---'));
for (const { engine, seed, losses, heldOut, skipped } of curves) {
  const means = smoothed(losses);
  row([
    engine,
    seed,
    ...[means[0], means[mid], means[means.length - 1], heldOut].map((loss) => loss.toFixed(4)),
    skipped,
  ]);
}
console.log();
row([
  'engine',
  'apart from wasm, same seed (largest)',
  'seeds apart (smallest)',
  'within the spread of seeds',
]);
row(new Array<string>(4).fill('---'));
const agreement = agreementOf(curves);
if (agreement === undefined) throw new Error('The engine wasm has no two seeds to compare.');
for (const { engine, apart, agrees } of agreement.engines)
  row([engine, apart.toFixed(4), agreement.spread.toFixed(4), agrees ? 'yes' : 'no']);
if (values.out !== undefined) await writeJson(values.out, { schema: 1, steps, seeds, curves, agreement });
if (agreement.engines.some(({ agrees }) => !agrees)) process.exitCode = 1;
