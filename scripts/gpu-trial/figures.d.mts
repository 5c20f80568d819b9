export interface Figure {
  readonly figure: string;
  readonly goal: string;
  readonly seen: string;
  /** null: not seen. */
  readonly reached: boolean | null;
}

export function figuresOf(parts: readonly { readonly name: string; readonly results?: unknown }[]): Figure[];
