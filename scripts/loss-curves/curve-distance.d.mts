export interface LossCurve {
  readonly engine: string;
  readonly seed: number;
  /** Loss of each step. */
  readonly losses: readonly number[];
}

/** How far an engine's curves are from the reference's of the same seeds. */
export interface EngineAgreement {
  readonly engine: string;
  readonly seeds: number;
  readonly apart: number;
  readonly agrees: boolean;
}

export interface Agreement {
  readonly reference: string;
  readonly seeds: number;
  readonly spread: number;
  readonly engines: readonly EngineAgreement[];
}

export const WINDOW: number;

export function smoothed(losses: readonly number[], window?: number): number[];

export function distance(a: readonly number[], b: readonly number[], window?: number): number;

export function agreementOf(curves: readonly LossCurve[], reference?: string): Agreement | undefined;
