import type { TensorInfoMessage, TensorStatisticsMessage } from '../../protocol/inspection';

/** A tensor and, once it was looked at, its numbers. */
export interface ShownTensor {
  readonly name: string;
  readonly info: TensorInfoMessage;
  statistics?: TensorStatisticsMessage;
}

/** What somebody should look at. */
export interface Findings {
  readonly nan: number;
  readonly inf: number;
  readonly dead: number;
}

export function findingsOf({ statistics }: ShownTensor): Findings {
  return {
    nan: statistics?.nan ?? 0,
    inf: statistics?.inf ?? 0,
    dead: statistics?.filters?.deadCount ?? 0,
  };
}

export function hasFindings(tensor: ShownTensor): boolean {
  const { nan, inf, dead } = findingsOf(tensor);
  return nan + inf + dead > 0;
}
