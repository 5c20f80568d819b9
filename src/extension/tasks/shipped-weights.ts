import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  describeStrategy,
  parseCatalogue,
  type Catalogue,
  type CatalogueEntry,
} from '../../protocol/catalogue';

/** The weights that come with the extension: its own models/catalogue.json. */
export class ShippedWeights {
  private known: Promise<Catalogue> | undefined;

  /**
   * @param root folder of the extension
   * @param tell for a sentence about a catalogue that cannot be read; there are no shipped weights then
   */
  constructor(
    private readonly root: string,
    private readonly tell: (message: string) => void,
  ) {}

  /** Read at the first call. */
  catalogue(): Promise<Catalogue> {
    this.known ??= this.read();
    return this.known;
  }

  private async read(): Promise<Catalogue> {
    const path = join(this.root, 'models', 'catalogue.json');
    try {
      return parseCatalogue(await readFile(path, 'utf8'), path);
    } catch (error) {
      this.tell(error instanceof Error ? error.message : String(error));
      return [];
    }
  }
}

/** The weights that fit a depth on the small grid, one task before many; of a strategy the first. */
export function weightsFor(arch: string, catalogue: Catalogue): CatalogueEntry[] {
  const fitting = catalogue.filter((one) => one.arch === arch);
  const byStrategy = new Map<string, CatalogueEntry>();
  for (const one of fitting) if (!byStrategy.has(one.strategy)) byStrategy.set(one.strategy, one);
  const number = ({ tasks }: CatalogueEntry): number => tasks.length;
  return [...byStrategy.values()].sort((a, b) => number(a) - number(b));
}

/** A row of a list: the study's words for the strategy and what the weights are worth, then what they are and weigh. */
export function weightsRow(one: CatalogueEntry): { label: string; description: string; detail: string } {
  const dice =
    one.dice === null
      ? 'Dice not measured'
      : `mean Dice ${one.dice.mean.toFixed(2)} on ${one.dice.heads} held-out heads`;
  return {
    label: describeStrategy(one.strategy),
    description: dice,
    detail: `${one.strategy}, comes with FCD Lens: ${one.data}, ${one.modality}, ${(one.bytes / 1e6).toFixed(1)} MB`,
  };
}
