import { valueShapes } from '../../src/core/model/flops';
import { buildProgram } from '../../src/core/model/program';
import { networkSpec } from '../../src/core/model/spec';
import type { WholeRequest } from './requests';

/** The different convolutions of a network, each with how often it occurs. */
export function layersOf({ arch, geometry, shortcut, width, grid, batch }: WholeRequest): object[] {
  const program = buildProgram(networkSpec({ arch, geometry, shortcut, width }), { fused: true });
  const shapes = valueShapes(program, [batch, ...grid, 1]);
  const filters = new Map(program.parameters.map(({ name, shape }) => [name, shape]));
  const found = new Map<string, { times: number }>();
  for (const step of program.instructions) {
    if (step.op !== 'conv') continue;
    const [outChannels, inChannels, ...kernel] = filters.get(`${step.name}.weight`) ?? [];
    const layer = {
      batch,
      input: shapes.get(step.from)?.slice(1, 4),
      inChannels,
      outChannels,
      kernel,
      ...step.attrs,
    };
    const key = JSON.stringify(layer);
    const before = found.get(key);
    if (before) before.times++;
    else found.set(key, { ...layer, times: 1 });
  }
  return [...found.values()];
}
