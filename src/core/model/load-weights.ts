import { InputError } from '../errors';
import { bareName, matchTensors, type ExpectedTensor, type LoadReport } from '../weights/load-report';
import type { OpenWeights } from '../weights/open-weights';
import { toFloat32 } from '../weights/tensors';
import { requireSameShortcut } from './recognise';
import { buildProgram } from './program';
import type { NetworkSpec } from './spec';
import { expectedTensors, type BorderTensor } from './weights-of-network';

/** How names of tensors begin that a checkpoint holds beside the network's: the optimiser's moments. */
const BESIDE = 'optimizer.';

/** A bias that MONAI's projections have: see {@link loadedTensors}. */
const SHORTCUT_BIAS = /^(layer[1-4]\.\d+\.downsample)\.0\.bias$/;

/**
 * What a file's tensors are to a network.
 * @throws InputError where nothing fits, or the weights are of the other shortcut type
 */
export function reportOn(spec: NetworkSpec, tensors: OpenWeights['tensors']): LoadReport {
  requireSameShortcut(spec, tensors);
  return reportOnTensors(expectedTensors(buildProgram(spec, { fused: true })), tensors);
}

/** As {@link reportOn}, by the tensors a network expects. */
export function reportOnTensors(
  expected: readonly ExpectedTensor[],
  tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>,
): LoadReport {
  const report = matchTensors(expected, tensors);
  const folded = new Set(foldedBiases(report.sources, report.unexpected).values());
  // The optimiser's moments in a `last` checkpoint are no part of the network; folded biases are used.
  const unexpected = report.unexpected.filter((name) => !name.startsWith(BESIDE) && !folded.has(name));
  return { ...report, unexpected };
}

/** Biases of projections that the network has no place for: the file's name by that of the running mean they go into. */
export function foldedBiases(sources: LoadReport['sources'], names: Iterable<string>): Map<string, string> {
  const folded = new Map<string, string>();
  for (const source of names) {
    const match = SHORTCUT_BIAS.exec(bareName(source));
    const mean = match && `${match[1]}.1.running_mean`;
    if (mean && sources[mean] !== undefined) folded.set(mean, source);
  }
  return folded;
}

/**
 * The tensors of a file that a network takes, one at a time, under the network's names and as float32. A bias before a
 * batch normalisation (MONAI's `downsample.0.bias`) has no place of its own: normalisation by (x + b - mean) is
 * normalisation by (x - (mean - b)), so it is taken off the running mean; in training both cancel.
 * @param lent as in the options of {@link OpenWeights.values}
 */
export async function* loadedTensors(
  weights: OpenWeights,
  report: LoadReport,
  lent = false,
): AsyncGenerator<BorderTensor & { readonly name: string }, void> {
  const names = new Map(Object.entries(report.sources).map(([name, source]) => [source, name]));
  const biasOf = await readBiases(weights, report);
  for await (const tensor of weights.values({ only: new Set(names.keys()), lent })) {
    const name = names.get(tensor.name);
    if (name === undefined) throw new Error(`${tensor.name} was not asked for.`);
    const bias = biasOf.get(name);
    const data = toFloat32(tensor);
    if (bias !== undefined && bias.length !== data.length)
      throw new InputError(
        `${weights.tensors.get(tensor.name)?.name ?? name} has ${data.length} values, the bias before it ${bias.length}. The file is damaged.`,
      );
    yield {
      name,
      shape: tensor.shape,
      data: bias === undefined ? data : data.map((mean, i) => mean - bias[i]),
    };
  }
}

/** The biases to take off, by the name of the running mean. */
async function readBiases(weights: OpenWeights, report: LoadReport): Promise<Map<string, Float32Array>> {
  const folded = foldedBiases(report.sources, weights.tensors.keys());
  const means = new Map(Array.from(folded, ([mean, source]) => [source, mean]));
  const biases = new Map<string, Float32Array>();
  if (means.size === 0) return biases;
  for await (const tensor of weights.values({ only: new Set(means.keys()) })) {
    const mean = means.get(tensor.name);
    if (mean !== undefined) biases.set(mean, toFloat32(tensor));
  }
  return biases;
}
