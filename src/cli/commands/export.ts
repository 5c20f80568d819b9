import type { Command } from 'commander';
import { describeSpec } from '../../core/model/spec';
import { exportTorch } from '../../core/transfer/export-torch';
import { addNetworkOptions, networkGiven, required, type NetworkFlags } from '../options';
import { print, printJson, tell } from '../terminal';

interface ExportFlags extends NetworkFlags {
  readonly out?: string;
  readonly json?: boolean;
}

export function addExport(fcd: Command): void {
  const command = fcd
    .command('export')
    .usage('--out <model.pth> [options] <model>')
    .argument('<model>', 'a checkpoint or a run directory')
    .description("a checkpoint as PyTorch's own file: a state dict for load_state_dict")
    .option('--out <model.pth>', 'the file to write')
    .option('--json', 'JSON on standard output');
  addNetworkOptions(command, 'file').action(async (model: string, flags: ExportFlags) => {
    const result = await exportTorch(model, required(flags.out, '--out FILE'), networkGiven(flags));
    for (const remark of result.remarks) tell(remark);
    if (result.missing.length > 0)
      tell(`${model} does not hold ${result.missing.join(', ')}: load_state_dict needs strict=False.`);
    if (flags.json) {
      const { out, spec, tensors, missing } = result;
      printJson({ out, network: spec, tensors, missing });
      return;
    }
    const depth = result.spec.axes === 'kji' ? 'k (inferior-superior)' : 'i (left-right)';
    print(
      `${describeSpec(result.spec)}: ${result.tensors} tensors in ${result.out}. Volumes go in as [N, C, D, H, W] with D = ${depth}.`,
    );
  });
}
