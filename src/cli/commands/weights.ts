import type { Command } from 'commander';
import { messageOf, InputError } from '../../core/errors';
import { recogniseNetwork } from '../../core/model/recognise';
import { describeFound } from '../../core/transfer/import-weights';
import type { OpenWeights } from '../../core/weights/open-weights';
import { withWeights } from '../../core/weights/read-weights';
import { summariseTensor, summaryTable, type TensorSummary } from '../../core/weights/summary';
import { print, printJson, tell } from '../terminal';

export function addWeights(fcd: Command): void {
  fcd
    .command('weights')
    .argument('<file>', 'a .pth, .pt or .safetensors file')
    .description('the tensors of a weights file and the network they fit; no code in it is executed')
    .option('--json', 'JSON on standard output')
    .action(async (path: string, flags: { json?: boolean }) => {
      await withWeights(path, async (file) => {
        const tensors = await summaries(file);
        const network = networkOf(file);
        if (flags.json) {
          const { format, metadata, warnings } = file;
          printJson({ file: path, format, metadata, warnings, network: network.found ?? null, tensors });
          return;
        }
        print(`${path}: ${file.format}, ${tensors.length} tensors\n`);
        print(summaryTable(tensors));
        print(network.sentence);
        for (const warning of file.warnings) tell(`warning: ${warning}`);
      });
    });
}

/** A row for every tensor, in the file's order; one tensor in memory at a time. */
async function summaries(file: OpenWeights): Promise<TensorSummary[]> {
  const rows = new Map<string, TensorSummary>();
  for await (const tensor of file.values({ lent: true })) rows.set(tensor.name, summariseTensor(tensor));
  return [...file.tensors.keys()].flatMap((name) => rows.get(name) ?? []);
}

function networkOf(file: OpenWeights): {
  sentence: string;
  found?: ReturnType<typeof recogniseNetwork>;
} {
  try {
    const found = recogniseNetwork(file.tensors);
    return {
      sentence: `${describeFound(found)}, ${found.inChannels} input channels; possible geometries: ${found.geometries.join(', ')}`,
      found,
    };
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return { sentence: messageOf(error) };
  }
}
