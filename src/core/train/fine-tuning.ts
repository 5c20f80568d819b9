import * as v from 'valibot';
import { InputError } from '../errors';
import { ENCODER_STAGES, type EncoderStage, type Stage } from '../model/stages';

const factor = v.pipe(v.number(), v.gtValue(0));

/** How much of a network that starts from other weights may change, and how fast. */
export const fineTuningSchema = v.strictObject({
  /** Learning rate of layer4 as a share of the classifier's (MedicalNet: 0.01, there said as new layers x 100). */
  encoderFactor: factor,
  /** Each stage before layer4 learns by this factor more slowly than the one behind it; 1: all of the encoder alike. */
  decayPerStage: v.pipe(factor, v.maxValue(1)),
  /** Parts that do not learn: their weights stay, and their batch normalisation keeps its running statistics. */
  freeze: v.pipe(
    v.array(v.picklist(ENCODER_STAGES)),
    v.check((stages) => new Set(stages).size === stages.length, 'a stage is named twice'),
  ),
  /** After so many epochs each, one more of the frozen parts begins to learn, the deepest first; 0: none ever does. */
  unfreezeEvery: v.pipe(v.number(), v.integer(), v.minValue(0)),
});
export type FineTuning = v.InferOutput<typeof fineTuningSchema>;

/** Everything learns at one rate. */
export const NO_FINE_TUNING: FineTuning = {
  encoderFactor: 1,
  decayPerStage: 1,
  freeze: [],
  unfreezeEvery: 0,
};

/** The parts that are frozen in an epoch (0-based); it follows from the configuration alone, so a resumed run agrees. */
export function frozenAt({ freeze, unfreezeEvery }: FineTuning, epoch: number): ReadonlySet<Stage> {
  const thawed = unfreezeEvery === 0 ? 0 : Math.floor(epoch / unfreezeEvery);
  const deepestFirst = [...ENCODER_STAGES].reverse().filter((stage) => freeze.includes(stage));
  return new Set(deepestFirst.slice(thawed));
}

/** Factor of a part's learning rate; the classifier's is 1. */
export function rateFactor({ encoderFactor, decayPerStage }: FineTuning, stage: Stage): number {
  if (stage === 'head') return 1;
  return encoderFactor * decayPerStage ** (ENCODER_STAGES.length - 1 - ENCODER_STAGES.indexOf(stage));
}

/** Reads `stem,layer1` or `encoder` (all parts but the classifier). @throws InputError that lists the parts */
export function stagesNamed(text: string): EncoderStage[] {
  const names = text.split(',').map((name) => name.trim());
  if (names.length === 1 && names[0] === 'encoder') return [...ENCODER_STAGES];
  const unknown = names.find((name) => !(ENCODER_STAGES as readonly string[]).includes(name));
  if (unknown !== undefined)
    throw new InputError(
      `There is no part "${unknown}" to freeze. Give some of ${ENCODER_STAGES.join(', ')}, separated by commas, or encoder for all of them.`,
    );
  return ENCODER_STAGES.filter((stage) => names.includes(stage));
}

/** Sentences for a person; none where everything learns at one rate. */
export function describeFineTuning(given: FineTuning, epochs: number): string[] {
  const said: string[] = [];
  const { freeze, unfreezeEvery, encoderFactor, decayPerStage } = given;
  if (freeze.length > 0) {
    const last = frozenAt(given, epochs - 1);
    const until =
      unfreezeEvery === 0
        ? 'to the end'
        : `and one of them begins to learn after every ${unfreezeEvery} epochs, the deepest first${last.size > 0 ? ` (${[...last].reverse().join(', ')} to the end)` : ''}`;
    said.push(
      `${freeze.join(', ')} ${freeze.length === 1 ? 'is' : 'are'} frozen ${until}. A frozen part keeps its weights and the running statistics of its batch normalisation, by which it normalises.`,
    );
  }
  if (encoderFactor !== 1 || decayPerStage !== 1)
    said.push(
      `Learning rates as shares of the classifier's: ${[...ENCODER_STAGES].map((stage) => `${stage} ${rounded(rateFactor(given, stage))}`).join(', ')}.`,
    );
  return said;
}

function rounded(value: number): string {
  return String(Number(value.toPrecision(3)));
}
