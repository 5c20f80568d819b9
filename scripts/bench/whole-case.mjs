// What is measured of a whole network: a step, an inference, a class map, or its layers one by one.
const cube = (n) => [n, n, n];

/** @param {object} [more] what else the case says: `width` (a share of the channels), `memory` (bytes), ... */
export function whole(kind, arch, geometry, grid, batch, more = {}) {
  const size = typeof grid === 'number' ? `${grid}` : grid.join('x');
  const width = more.width ? ` width 1/${1 / more.width}` : '';
  return {
    name: `${kind} ${arch} ${geometry} ${size} n${batch}${width}`,
    kind,
    arch,
    geometry,
    shortcut: arch === 'resnet18' ? 'A' : 'B',
    grid: typeof grid === 'number' ? cube(grid) : grid,
    batch,
    ...more,
  };
}
