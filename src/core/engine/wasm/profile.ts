/** How often something ran, and for how long in all. */
export interface ProfileEntry {
  readonly name: string;
  readonly calls: number;
  readonly ms: number;
}

/** Where time went: per operation of tfjs-core (with what it runs inside), per kernel of the module, and per convolution by its name in a plan. */
export class Profile {
  private readonly operationTimes = new Map<string, { calls: number; ms: number }>();
  private readonly kernelTimes = new Map<string, { calls: number; ms: number }>();

  private readonly convolutionTimes = new Map<string, { calls: number; ms: number }>();

  get operations(): ProfileEntry[] {
    return entries(this.operationTimes);
  }

  get kernels(): ProfileEntry[] {
    return entries(this.kernelTimes);
  }

  get convolutions(): ProfileEntry[] {
    return entries(this.convolutionTimes);
  }

  operation<T>(name: string, run: () => T): T {
    return timed(this.operationTimes, name, run);
  }

  kernel<T>(name: string, run: () => T): T {
    return timed(this.kernelTimes, name, run);
  }

  convolution<T>(name: string, run: () => T): T {
    return timed(this.convolutionTimes, name, run);
  }
}

function timed<T>(times: Map<string, { calls: number; ms: number }>, name: string, run: () => T): T {
  const start = performance.now();
  try {
    return run();
  } finally {
    const entry = times.get(name) ?? { calls: 0, ms: 0 };
    entry.calls++;
    entry.ms += performance.now() - start;
    times.set(name, entry);
  }
}

function entries(times: ReadonlyMap<string, { calls: number; ms: number }>): ProfileEntry[] {
  return [...times].map(([name, { calls, ms }]) => ({ name, calls, ms })).sort((a, b) => b.ms - a.ms);
}
