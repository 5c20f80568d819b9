import { Random } from '../random';
import type { ParameterInfo } from './program';

/**
 * Fresh values of one parameter, in PyTorch's layout: filters normal with sd sqrt(2 / (Co * taps)) (He et al. 2015,
 * fan-out, as torchvision's and MedicalNet's ResNets do), batch normalisation 1 and 0, the linear layer uniform within
 * +-1/sqrt(inputs) (PyTorch's default). Each parameter has a random stream of its own, so adding a layer changes no other.
 */
export function initialValues(parameter: ParameterInfo, inputs: number, seed: number): Float32Array {
  const size = parameter.shape.reduce((product, n) => product * n, 1);
  const values = new Float32Array(size);
  const random = Random.seeded(seed, 'initialise', parameter.name);
  if (parameter.kind === 'filter') {
    const [o, , d, h, w] = parameter.shape;
    const sd = Math.sqrt(2 / (o * d * h * w));
    for (let i = 0; i < size; i++) values[i] = random.normal(0, sd);
  } else if (parameter.kind === 'gamma') {
    values.fill(1);
  } else if (parameter.kind === 'weight' || parameter.kind === 'bias') {
    const bound = 1 / Math.sqrt(inputs);
    for (let i = 0; i < size; i++) values[i] = random.uniform(-bound, bound);
  }
  return values;
}
