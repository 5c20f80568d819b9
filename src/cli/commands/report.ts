import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { readResults, writeReport } from '../../core/report/write-report';
import { print } from '../terminal';

export function addReport(fcd: Command): void {
  fcd
    .command('report')
    .argument('<dir>', 'a run or an experiment that is finished')
    .description('one HTML page: figures, tables, the best and the worst localised cases')
    .option('--out <file>', 'default: report.html in the directory')
    .action(async (dir: string, flags: { out?: string }) => {
      const path = join(resolve(dir), 'results.json');
      const results = await readResults(path, () => readFile(path, 'utf8'));
      const out = resolve(flags.out ?? join(dir, 'report.html'));
      await writeReport(results, out);
      print(out);
    });
}
