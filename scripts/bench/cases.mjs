// What is measured as a whole: networks as they are trained and looked into.
const cube = (n) => [n, n, n];

function whole(kind, arch, geometry, grid, batch) {
  const size = typeof grid === 'number' ? `${grid}` : grid.join('x');
  return {
    name: `${kind} ${arch} ${geometry} ${size} n${batch}`,
    kind,
    arch,
    geometry,
    shortcut: arch === 'resnet18' ? 'A' : 'B',
    grid: typeof grid === 'number' ? cube(grid) : grid,
    batch,
  };
}

/** `step`: forward, backward and the optimiser. `threads`: the same step with one thread and with all. */
export const CASES = [
  whole('step', 'resnet18', 'paper', 64, 4),
  whole('step', 'resnet18', 'paper', 96, 4),
  whole('step', 'resnet18', 'medicalnet', 64, 4),
  whole('step', 'resnet18', 'medicalnet', 96, 4),
  whole('step', 'resnet50', 'paper', 64, 2),
  whole('inference', 'resnet18', 'paper', [160, 256, 256], 1),
  whole('gradcam', 'resnet18', 'paper', [160, 256, 256], 1),
  whole('threads', 'resnet18', 'paper', 64, 4),
];
