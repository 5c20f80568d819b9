// What the results of a trial come to: figures that were promised beside what was seen.
import { agreementOf } from '../loss-curves/curve-distance.mjs';

/** Every part's results that are of the benchmark. */
const casesOf = (parts, name) =>
  parts.find((part) => part.name === name)?.results?.flatMap((r) => r.cases ?? []) ?? [];

/**
 * @param {object[]} parts records of run-part.mjs
 * @returns {{ figure: string, goal: string, seen: string, reached: boolean | null }[]} null: not seen
 */
export function figuresOf(parts) {
  return [...conformanceFigures(parts), ...stepFigures(parts), ...scanFigures(parts), ...curveFigures(parts)];
}

function conformanceFigures(parts) {
  return parts
    .filter(({ name }) => name.startsWith('conformance-'))
    .flatMap(({ name, results }) =>
      (results ?? []).slice(0, 1).map(({ of, cases }) => {
        const right = cases.filter((one) => one.right).length;
        return {
          figure: name.endsWith('f16')
            ? 'networks in f16 that agree with f32 on this GPU'
            : 'networks in f32 that agree with PyTorch',
          goal: `${of} of ${of}`,
          seen: `${right} of ${of}`,
          reached: right === of,
        };
      }),
    );
}

/** Ours, beside whom, at least. */
const STEP_GOALS = [
  ['webgpu-f32', 'tf32-off', 0.8],
  ['webgpu-f16', 'tf32-on', 0.5],
  ['webgpu-f32', 'wasm', 30],
  ['webgpu-f16', 'wasm', 30],
];

function stepFigures(parts) {
  return casesOf(parts, 'steps').flatMap(({ name, sides }) =>
    STEP_GOALS.flatMap(([mine, theirs, least]) => {
      const [own, other] = [sides[mine], sides[theirs]];
      if (own?.ms === undefined || other?.ms === undefined) return [];
      const ratio = other.ms / own.ms;
      return {
        figure: `${name}: ${mine} beside ${theirs}`,
        goal: `at least ${least}x`,
        seen: `${ratio.toFixed(2)}x (${own.ms.toFixed(1)} and ${other.ms.toFixed(1)} ms)`,
        reached: ratio >= least,
      };
    }),
  );
}

function scanFigures(parts) {
  return casesOf(parts, 'scans').flatMap(({ name, sides, memory, parts: chosen, batch }) =>
    Object.keys(sides)
      .filter((side) => side.startsWith('webgpu'))
      .map((side) => {
        const { ms, failed, memory: held } = sides[side];
        const seen =
          ms === undefined
            ? (failed ?? 'not seen')
            : `${(1000 / ms).toFixed(2)} steps a second, ${(held?.reserved / 1e9).toFixed(3)} GB, ${chosen[side].microBatch} of ${batch} volumes at once${chosen[side].checkpointActivations ? ', activations computed again' : ''}`;
        return {
          figure: `${name}: ${side}`,
          goal: `trains within ${memory / 1e9} GB`,
          seen,
          reached: ms === undefined ? (failed === undefined ? null : false) : held?.reserved <= memory,
        };
      }),
  );
}

function curveFigures(parts) {
  const curves = parts.find(({ name }) => name === 'curves')?.results ?? [];
  const agreement = agreementOf(
    curves.map(({ engine, precision, ...curve }) => ({
      ...curve,
      engine: engine === 'webgpu' ? `${engine}-${precision}` : engine,
    })),
  );
  if (!agreement) return [];
  return agreement.engines.map(({ engine, apart, agrees, seeds }) => ({
    figure: `loss curves of ${engine} beside ${agreement.reference}, ${seeds === 1 ? '1 seed' : `${seeds} seeds`}`,
    goal: `within the spread of ${agreement.seeds} seeds, ${agreement.spread.toPrecision(2)}`,
    seen: `at most ${apart.toPrecision(2)} apart`,
    reached: agrees,
  }));
}
