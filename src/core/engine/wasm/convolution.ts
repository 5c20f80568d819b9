import type { ConvGeometry, ConvPass } from './conv-geometry';
import { planKey, tileSizeOf, type Algorithm } from './conv-plan';
import { multiplyDepthTiles, multiplyGradientDepthTiles } from './depth-convolution';
import { addTaps, multiplyGradientTaps, multiplyTaps } from './direct-convolution';
import { elementwise } from './elementwise';
import type { Machine } from './machine';
import { convSizes } from './reference';
import { multiplyGradientTiles, multiplyTiles } from './tiled-convolution';

/** y = x convolved with filter; all are addresses, NDHWC and DHWIO. The machine's plan chooses how, unless it is said. */
export function convolve(
  machine: Machine,
  g: ConvGeometry,
  x: number,
  filter: number,
  y: number,
  algorithm?: Algorithm,
): void {
  const run = (how: Algorithm) => gatherBy(how, machine, 'y', g, x, filter, y);
  if (algorithm) run(algorithm);
  else planned(machine, 'y', g, run);
}

/** dx from dy. */
export function convolveInputGradient(
  machine: Machine,
  g: ConvGeometry,
  dy: number,
  filter: number,
  dx: number,
  algorithm?: Algorithm,
): void {
  const run = (how: Algorithm) => gatherBy(how, machine, 'dx', g, dy, filter, dx);
  if (algorithm) run(algorithm);
  else planned(machine, 'dx', g, run);
}

/** dx from dy, added to a sum that holds as much as dx. Tap by tap it is summed in place, else aside. */
export function addInputGradient(
  machine: Machine,
  g: ConvGeometry,
  dy: number,
  filter: number,
  sum: number,
  algorithm?: Algorithm,
): void {
  const { heap, plan, pool } = machine;
  const { x: count } = convSizes(g);
  const aside = (how: Algorithm, use: (dx: number) => void) =>
    heap.withScratch([count * 4], (dx) => {
      gatherBy(how, machine, 'dx', g, dy, filter, dx);
      use(dx);
    });
  const add = () => {
    const how = algorithm ?? plan.algorithmOf('dx', g, (candidate) => aside(candidate, () => undefined));
    if (how === 'direct' && dy !== sum) addTaps(machine, g, dy, filter, sum);
    else aside(how, (dx) => elementwise(machine, 'add', count, { a: sum, b: dx, result: sum }));
  };
  if (pool.profile) pool.profile.convolution(planKey('dx', g), add);
  else add();
}

/** dfilter from x and dy. */
export function convolveFilterGradient(
  machine: Machine,
  g: ConvGeometry,
  x: number,
  dy: number,
  dfilter: number,
  algorithm?: Algorithm,
): void {
  const run = (how: Algorithm) => {
    const size = tileSizeOf(how);
    if (size) multiplyGradientTiles(machine, g, size, x, dy, dfilter);
    else if (how === 'depth') multiplyGradientDepthTiles(machine, g, x, dy, dfilter);
    else multiplyGradientTaps(machine, g, how === 'folded', x, dy, dfilter);
  };
  if (algorithm) run(algorithm);
  else planned(machine, 'dfilter', g, run);
}

/** By the machine's plan, noting its time where somebody asked for that. */
function planned(machine: Machine, pass: ConvPass, g: ConvGeometry, run: (how: Algorithm) => void): void {
  const { profile } = machine.pool;
  if (profile) profile.convolution(planKey(pass, g), () => machine.plan.run(pass, g, run));
  else machine.plan.run(pass, g, run);
}

function gatherBy(
  how: Algorithm,
  machine: Machine,
  pass: 'y' | 'dx',
  g: ConvGeometry,
  source: number,
  filter: number,
  result: number,
): void {
  const size = tileSizeOf(how);
  if (size) multiplyTiles(machine, pass, g, size, source, filter, result);
  else if (how === 'depth') multiplyDepthTiles(machine, g, source, filter, result);
  else multiplyTaps(machine, pass, g, how === 'folded', source, filter, result);
}
