import type { Command } from 'commander';
import { readWeights } from '../../core/weights/read-weights';
import { summarise, summaryTable } from '../../core/weights/summary';
import { print, printJson, tell } from '../terminal';

export function addWeights(fcd: Command): void {
  fcd
    .command('weights')
    .argument('<file>', 'a .pth, .pt or .safetensors file')
    .description('the tensors of a weights file; no code in it is executed')
    .option('--json', 'JSON on standard output')
    .action(async (path: string, flags: { json?: boolean }) => {
      const file = await readWeights(path);
      const tensors = summarise(file);
      if (flags.json) {
        printJson({
          file: path,
          format: file.format,
          metadata: file.metadata,
          warnings: file.warnings,
          tensors,
        });
        return;
      }
      print(`${path}: ${file.format}, ${tensors.length} tensors\n`);
      print(summaryTable(tensors));
      for (const warning of file.warnings) tell(`warning: ${warning}`);
    });
}
