// The trial's short table, as Markdown.

/** @param results everything that a trial knows (trial.mjs) */
export function summaryOf({ gpu, machine, python, parts, figures, made }) {
  const lines = [`# Trial on ${gpu?.adapter ? gpuName(gpu.adapter) : 'no GPU'}`, ''];
  if (gpu?.adapter?.software)
    lines.push('**This GPU is software: the processor computes. Its times say nothing about GPUs.**', '');
  lines.push(
    ...table(
      ['', ''],
      [
        [
          'GPU',
          gpu?.adapter ? `${gpu.adapter.description}, Dawn ${gpu.adapter.dawn}` : (gpu?.reason ?? 'none'),
        ],
        ['driver', machine.driver ?? 'nvidia-smi is not here'],
        [
          'machine',
          `${machine.cpu}, ${machine.logicalCores} cores, ${machine.memoryGb} GB, ${machine.platform}`,
        ],
        ['self-test', gpu?.detail ?? 'not run'],
        ['PyTorch', python.torch ?? python.reason],
        ['ceilings', ceilingsText(parts)],
        ['program', `${made.version}, commit ${made.commit}; Node ${machine.node}`],
      ],
    ),
    '',
    '## What was promised',
    '',
  );
  const mark = (reached) => (reached === null ? '-' : reached ? 'yes' : '**no**');
  lines.push(
    ...(figures.length > 0
      ? table(
          ['figure', 'goal', 'seen', 'reached'],
          figures.map(({ figure, goal, seen, reached }) => [figure, goal, seen, mark(reached)]),
        )
      : ['Nothing was measured.']),
  );
  lines.push('', '## Times', '', ...timesTable(parts), '', '## Parts', '');
  lines.push(
    ...table(
      ['part', 'state', 'seconds', ''],
      parts.map(({ name, state, seconds, sentence }) => [name, state, String(seconds ?? ''), sentence ?? '']),
    ),
    '',
  );
  return lines.join('\n');
}

const gpuName = ({ vendor, description, software }) =>
  `${vendor} ${description}${software ? ' (software)' : ''}`;

function ceilingsText(parts) {
  const ceilings = parts.find(({ name }) => name === 'ceilings')?.results?.[0]?.ceilings;
  if (!ceilings) return 'not measured';
  const { copy, f32, f16 } = ceilings;
  const half = f16 === undefined ? 'no half precision' : `f16 ${f16.toPrecision(3)} TFLOP/s`;
  return `copies ${copy.toFixed(0)} GB/s, matrix product f32 ${f32.toPrecision(3)} TFLOP/s, ${half}`;
}

function timesTable(parts) {
  const cases = parts.flatMap(({ results }) =>
    (results ?? []).flatMap((one) => (one.engine ? [] : (one.cases ?? []))),
  );
  const rows = cases.flatMap(({ name, sides }) =>
    Object.entries(sides).map(([side, { ms, tflops, ofCeiling, memory, failed }]) => [
      name,
      side,
      ms === undefined ? '' : `${ms.toFixed(1)}`,
      tflops === undefined ? '' : tflops.toPrecision(3),
      ofCeiling === undefined ? '' : `${(100 * ofCeiling).toFixed(0)} %`,
      memory === undefined ? '' : `${(memory.peak / 1e9).toFixed(3)}`,
      failed ?? '',
    ]),
  );
  if (rows.length === 0) return ['None.'];
  return table(['', 'computed by', 'ms', 'TFLOP/s', 'of the ceiling', 'memory, GB', ''], rows);
}

function table(head, rows) {
  const line = (cells) => `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)];
}
