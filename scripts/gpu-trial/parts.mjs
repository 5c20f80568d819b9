// What a trial does, part by part: each is one or several programs that write JSON of their own as they go.
import { join } from 'node:path';
import { SIZES } from '../bench/gpu/sizes.mjs';

const SEEDS = [1, 2, 3];
const ENGINES = [
  ['webgpu', 'f32'],
  ['webgpu', 'f16'],
  ['wasm', 'f32'],
];

/** Of the small networks: enough to see each kind of layer. */
const FEW_CASES = ['narrow-10-B-paper'];

/**
 * @typedef {{ name: string, title: string, programs: { args: string[], file: string }[] }} Part
 * @param {{ root: string, folder: string, size: 'full' | 'tiny', torch: boolean, half: boolean }} asked `folder`: where the
 * programs write; `half`: the GPU has half precision
 * @returns {Part[]}
 */
export function partsOf({ root, folder, size, torch, half }) {
  const file = (name) => join(folder, `${name}.json`);
  const precisions = half ? ['f32', 'f16'] : ['f32'];
  const { cases, networks } = SIZES[size];
  const tiny = size === 'tiny';
  const peer = torch ? ['--peer', 'torch'] : [];

  const bench = (name, title, only, more = []) => ({
    name,
    title,
    programs: [
      {
        args: [
          join(root, 'scripts/bench/bench.mjs'),
          ...['--engine', 'webgpu', '--sizes', size, '--out', file(name)],
          ...['--rounds', tiny ? '1' : '3', '--precision', half ? 'both' : 'f32'],
          ...(name === 'ceilings' ? [] : ['--ceilings', file('ceilings')]),
          ...only.flatMap((one) => ['--only', one]),
          ...more,
        ],
        file: file(name),
      },
    ],
  });
  const names = (list) => list.map((one) => one.name);
  const steps = cases.filter(({ kind }) => kind === 'step');
  const conformance = (precision) => ({
    name: `conformance-${precision}`,
    title:
      precision === 'f16' ? 'networks in f16 beside f32' : "networks in f32 beside PyTorch's stored results",
    programs: [
      {
        args: [
          join(root, 'dist/gpu-trial/conformance.js'),
          ...['--precision', precision, '--fixtures', join(root, 'test/conformance/fixtures')],
          ...['--out', file(`conformance-${precision}`), ...(tiny ? FEW_CASES : [])],
        ],
        file: file(`conformance-${precision}`),
      },
    ],
  });

  return [
    bench('ceilings', 'copies and matrix products', ['nothing else']),
    ...precisions.map(conformance),
    bench(
      'steps',
      'training steps, beside our engine on the processor',
      names(steps.filter(({ memory }) => !memory)),
      [...['--peer', 'wasm'], ...peer],
    ),
    bench('scans', 'training on whole scans', names(steps.filter(({ memory }) => memory)), peer),
    bench('looks', 'inference and class maps', names(cases.filter(({ kind }) => kind !== 'step')), peer),
    {
      name: 'curves',
      title: 'loss curves over seeds',
      programs: (tiny ? SEEDS.slice(0, 2) : SEEDS).flatMap((seed) =>
        ENGINES.filter(([, precision]) => precisions.includes(precision)).map(([engine, precision]) => ({
          args: [
            join(root, 'dist/gpu-trial/curve.js'),
            ...['--engine', engine, '--precision', precision, '--seed', String(seed), '--size', size],
            ...['--out', file(`curve-${engine}-${precision}-${seed}`)],
          ],
          file: file(`curve-${engine}-${precision}-${seed}`),
        })),
      ),
    },
    bench('layers', 'every convolution, pass by pass', names(networks), peer),
  ];
}
