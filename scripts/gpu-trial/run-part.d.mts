export function runPart(
  part: {
    readonly name: string;
    readonly title: string;
    readonly programs: readonly { readonly args: readonly string[]; readonly file: string }[];
  },
  limits: {
    readonly minutes: number;
    readonly env: Readonly<Record<string, string>>;
    readonly log: string;
    readonly signal: AbortSignal;
  },
): Promise<{
  readonly state: 'done' | 'failed' | 'out of time' | 'stopped';
  readonly sentence?: string;
  readonly seconds: number;
  readonly results: readonly unknown[];
}>;
