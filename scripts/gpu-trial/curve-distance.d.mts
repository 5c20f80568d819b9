export interface Curve {
  readonly engine: string;
  readonly precision: string;
  readonly seed: number;
  readonly losses: readonly number[];
}

export function smoothed(losses: readonly number[], window?: number): number[];

export function distance(a: readonly number[], b: readonly number[], window?: number): number;

export function agreementOfCurves(
  curves: readonly Curve[],
  reference?: string,
):
  | {
      readonly reference: string;
      readonly seeds: number;
      readonly spread: number;
      readonly engines: Readonly<
        Record<string, { readonly seeds: number; readonly largest: number; readonly agrees: boolean }>
      >;
    }
  | undefined;
