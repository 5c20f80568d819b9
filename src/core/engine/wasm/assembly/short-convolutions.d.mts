/** See short-convolutions.mjs. */
export interface ShortConvolution {
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly products: number;
  readonly data: readonly (readonly number[])[];
  readonly filter: readonly (readonly number[])[];
  readonly result: readonly (readonly number[])[];
}
export const SHORT_CONVOLUTIONS: readonly ShortConvolution[];
export function toomCook(
  outputs: number,
  taps: number,
  points: readonly number[],
): Omit<ShortConvolution, 'name'>;
