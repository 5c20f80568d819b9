import type { Command } from 'commander';
import { describeImport, importWeights } from '../../core/transfer/import-weights';
import { addNetworkOptions, networkGiven, required, wholeNumber, type NetworkFlags } from '../options';
import { print, printJson, tell } from '../terminal';

interface ImportFlags extends NetworkFlags {
  readonly inChannels?: number;
  readonly out?: string;
  readonly yes?: boolean;
  readonly json?: boolean;
}

export function addImport(fcd: Command): void {
  const command = fcd
    .command('import')
    .usage('--out <model.safetensors> [options] <file>')
    .argument('<file>', 'a .pth, .pt or .safetensors file (MedicalNet, MONAI, your own), or a run directory')
    .description(
      'weights trained elsewhere as a checkpoint: what was loaded, what is missing, what does not fit',
    )
    .option('--in-channels <n>', 'spread a first convolution of one channel over n', wholeNumber(1, 16))
    .option('--out <model.safetensors>', 'the checkpoint to write')
    .option('--yes', 'take the defaults for geometry and axes where nothing tells them')
    .option('--json', 'JSON on standard output');
  addNetworkOptions(command, 'file').action(run);
}

async function run(path: string, flags: ImportFlags): Promise<void> {
  const result = await importWeights({
    path,
    out: required(flags.out, '--out FILE'),
    given: networkGiven(flags),
    inChannels: flags.inChannels,
    acceptDefaults: flags.yes ?? false,
  });
  const { out, spec, format, record, report, warnings } = result;
  for (const warning of warnings) tell(`warning: ${warning}`);
  if (flags.json) {
    const { loaded, missing, unexpected, mismatched, prefixStripped, batchCounters } = report;
    printJson({
      ...{ file: path, format, out, network: spec, sha256: record.sha256, registry: record.registry },
      ...{ trained: record.trained, loaded, missing, unexpected, mismatched, prefixStripped, batchCounters },
      ...{ changes: record.changes, warnings },
    });
    return;
  }
  print(describeImport(result));
  for (const change of record.changes) print(change);
  for (const [what, names] of [
    ['fresh', record.fresh],
    ['not used', report.unexpected],
  ] as const)
    if (names.length > 0) print(`${what}: ${names.join(', ')}`);
  print(`Next: fcd train --arch ${spec.arch} --geometry ${spec.geometry} --init ${out} ...`);
}
