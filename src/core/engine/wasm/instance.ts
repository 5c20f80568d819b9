/** A kernel: computes the share of one thread of the job at an address. */
export type Kernel = (thread: number, threads: number, jobAt: number) => void;

/** What a worker thread is given. */
export interface WorkerSetup {
  readonly memory: WebAssembly.Memory;
  readonly module: WebAssembly.Module;
  readonly thread: number;
  readonly threads: number;
}

/** The kernels of a module over a memory, by name. */
export function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory): Record<string, Kernel> {
  const instance = new WebAssembly.Instance(module, { env: { memory } });
  return instance.exports as Record<string, Kernel>;
}

/** Names in the order by which threads refer to them. */
export function kernelNames(module: WebAssembly.Module): string[] {
  return WebAssembly.Module.exports(module)
    .filter((entry) => entry.kind === 'function')
    .map((entry) => entry.name);
}

/** Output channels per panel of packed weights (micro-kernels.mjs). */
export function panelWidth(module: WebAssembly.Module, memory: WebAssembly.Memory): number {
  const { PANEL } = new WebAssembly.Instance(module, { env: { memory } }).exports;
  return (PANEL as WebAssembly.Global).value as number;
}
