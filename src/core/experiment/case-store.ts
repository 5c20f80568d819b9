import type { Case, Modality } from '../cohort/cohort';
import { prepareCase, type PreparedCase } from '../cohort/prepared-case';
import { channelsLast } from '../model/input';
import type { NetworkSpec } from '../model/spec';
import { shapeInAxes } from '../volume/axes';
import type { Recipe } from '../volume/recipe';
import type { Sample } from '../train/sample';

/** Prepares cases once and keeps them: the folds of a cross-validation share them. */
export class CaseStore {
  private readonly prepared = new Map<string, PreparedCase>();
  private readonly samples = new Map<string, Sample>();
  private readonly byId: ReadonlyMap<string, Case>;

  constructor(
    cases: readonly Case[],
    readonly modality: Modality,
    readonly recipe: Recipe,
  ) {
    this.byId = new Map(cases.map((one) => [one.participantId, one]));
  }

  case(participantId: string): Case {
    const found = this.byId.get(participantId);
    if (!found) throw new Error(`The store does not know ${participantId}.`);
    return found;
  }

  async get(participantId: string): Promise<PreparedCase> {
    let prepared = this.prepared.get(participantId);
    if (!prepared) {
      prepared = await prepareCase(this.case(participantId), this.modality, this.recipe);
      this.prepared.set(participantId, prepared);
    }
    return prepared;
  }

  /** The case in the network's layout. */
  async sample(participantId: string, spec: NetworkSpec): Promise<Sample> {
    let sample = this.samples.get(participantId);
    if (!sample) {
      const prepared = await this.get(participantId);
      const one = prepared.case;
      const [d, h, w] = shapeInAxes(prepared.grid.shape, spec.axes);
      sample = {
        participantId,
        source: one.source,
        twin: one.twin,
        label: one.group === 'fcd' ? 1 : 0,
        data: channelsLast(prepared.channels, spec),
        shape: [d, h, w, spec.inChannels],
      };
      this.samples.set(participantId, sample);
    }
    return sample;
  }
}
