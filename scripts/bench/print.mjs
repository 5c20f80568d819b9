export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

/** Columns as wide as their widest cell. */
export function table(rows) {
  const widths = [];
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  for (const row of rows)
    console.log(`  ${row.map((cell, i) => cell.padEnd(widths[i])).join('  ')}`.trimEnd());
}

/** Where the time of one run of ours went: operations, what of it ran in kernels, and what lay outside of both. */
export function printProfile({ total, operations, kernels, convolutions }) {
  const share = (ms) => `${((100 * ms) / total).toFixed(1)} %`;
  const inOperations = operations.reduce((sum, { ms }) => sum + ms, 0);
  const inKernels = kernels.reduce((sum, { ms }) => sum + ms, 0);
  const line = ({ name, calls, ms }) => [name, `${calls} x`, `${ms.toFixed(1)} ms`, share(ms)];
  const bySize = (list) => [...list].sort((a, b) => b.ms - a.ms).map(line);
  console.log(`  operations (${total.toFixed(0)} ms in all)`);
  table(bySize(operations));
  table([
    ['outside of operations', '', `${(total - inOperations).toFixed(1)} ms`, share(total - inOperations)],
  ]);
  console.log('  convolutions');
  table(bySize(convolutions));
  console.log('  kernels');
  table(bySize(kernels));
  const overhead = inOperations - inKernels;
  table([['JavaScript in operations', '', `${overhead.toFixed(1)} ms`, share(overhead)]]);
}
