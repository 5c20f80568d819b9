import { planKey, type RecordedPlan } from '../../wasm/conv-plan';
import type { Abilities } from './product-choice';
import { choiceOf, choiceText, estimatedChoice, type ConvChoice, type PlannedConv } from './conv-choice';
import { estimatedScratchBytes, scratchBytes } from './scratch-bytes';

/** What a plan starts from. */
export interface GpuPlanOptions {
  /** Replayed as it is, before anything else. */
  readonly recorded?: RecordedPlan;
  /** What was fastest on this GPU when it was timed. */
  readonly timed?: RecordedPlan;
  /** What the GPU can serve. */
  readonly abilities?: Abilities;
  /** Bytes of a buffer of the GPU at most. */
  readonly largest?: number;
  /** Hears of a recorded choice that cannot be served here or borrows too much, and of what computes instead. */
  readonly onReplaced?: (conv: string, recorded: string, instead: string) => void;
}

/** A convolution's name in a plan: `f32 dx n4 64-128 24x24x24 k3x3x3 s2x2x2 p1x1x1 d1x1x1`. */
export const gpuPlanKey = ({ pass, g, precision }: PlannedConv): string => `${precision} ${planKey(pass, g)}`;

/**
 * Which choice computes which convolution on a GPU. What was chosen once stays chosen, so that a run is repeatable. A GPU
 * cannot be waited for in the middle of a step: what is to be timed is seen in a rehearsal, before it is first needed.
 */
export class GpuPlan {
  private readonly chosen = new Map<string, ConvChoice>();
  private readonly fresh = new Map<string, ConvChoice>();
  private wanted?: Map<string, PlannedConv>;

  /**
   * Bytes that a choice may borrow beyond those of the estimated one, on which estimates of memory count. A choice that
   * borrows more is neither made nor replayed, however fast.
   */
  spare = Infinity;

  constructor(private readonly options: GpuPlanOptions = {}) {}

  choose(conv: PlannedConv): ConvChoice {
    const key = gpuPlanKey(conv);
    const chosen = this.chosen.get(key);
    if (chosen && this.affords(conv, chosen)) return chosen;
    const known = this.known(key, conv);
    const choice = known ?? estimatedChoice(conv, this.abilities);
    if (this.wanted) {
      if (!known) this.wanted.set(key, conv);
      return choice;
    }
    this.chosen.set(key, choice);
    const recorded = this.options.recorded?.[key];
    if (recorded && recorded !== choiceText(choice))
      this.options.onReplaced?.(key, recorded, choiceText(choice));
    return choice;
  }

  /** Convolutions that `rehearsal` asks for and that nothing is known about; none is chosen meanwhile. */
  async unknownTo(rehearsal: () => Promise<void>): Promise<readonly PlannedConv[]> {
    const wanted = (this.wanted = new Map<string, PlannedConv>());
    try {
      await rehearsal();
    } finally {
      this.wanted = undefined;
    }
    return [...wanted.values()];
  }

  /** Whether what a choice borrows is within what may be. */
  affords(conv: PlannedConv, choice: ConvChoice): boolean {
    if (this.spare === Infinity) return true;
    const { largest } = this.options;
    return [false, true].every(
      (halved) =>
        scratchBytes(conv, choice, { largest, halved }) <=
        estimatedScratchBytes(conv, this.abilities, { largest, halved }) + this.spare,
    );
  }

  /**
   * What timing has found to be fastest.
   * @param ofAll no choice was left out for what it borrows: then it is the fastest whatever the memory, and worth keeping
   */
  settle(conv: PlannedConv, choice: ConvChoice, ofAll = true): void {
    const key = gpuPlanKey(conv);
    this.chosen.set(key, choice);
    if (ofAll) this.fresh.set(key, choice);
  }

  /** Every choice so far, and what is recorded; names in order. */
  used(): RecordedPlan {
    return { ...this.options.recorded, ...textOf(this.chosen) };
  }

  /** Choices that were timed here and now, among all there are. */
  timedNow(): RecordedPlan {
    return textOf(this.fresh);
  }

  private known(key: string, conv: PlannedConv): ConvChoice | undefined {
    const { recorded, timed } = this.options;
    return [recorded?.[key], timed?.[key]]
      .map((text) => choiceOf(text, conv, this.abilities))
      .find((choice) => choice && this.affords(conv, choice));
  }

  private get abilities(): Abilities {
    return this.options.abilities ?? {};
  }
}

function textOf(choices: ReadonlyMap<string, ConvChoice>): RecordedPlan {
  return Object.fromEntries(
    [...choices].map(([key, choice]) => [key, choiceText(choice)]).sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}
