import type { EngineReportMessage } from '../../protocol/compute';
import { threadsText } from '../compute/engine-text';
import type { Choice } from '../guide/questions';

/** What computes here, or why the engine that is set does not: then another one can still be chosen. */
export type Tested = EngineReportMessage | { readonly failure: string };

/** Title of the list. */
export function titleOf(tested: Tested): string {
  if ('failure' in tested) return 'Select Engine';
  const { node, threads } = tested;
  return `Select Engine (Node.js ${node}, ${threadsText(threads)})`;
}

/** What stands in the field over the list: what is asked, or what does not work here. */
export function questionOf(tested: Tested): string {
  if ('failure' in tested) return 'What is set does not compute here. Which engine should?';
  const unusable = tested.selfTest
    .filter(({ ok }) => !ok)
    .map(({ module, detail }) => `${module}: ${detail}`);
  return unusable.length > 0 ? `Not usable here: ${unusable.join('; ')}` : 'Which engine should compute?';
}

/**
 * The engines, each with a line about it, and the kernel modules of the engine wasm that work here.
 * @param now the engine that is set, which was tested: the others' lines say only what that tells of them
 */
export function engineChoices(tested: Tested, installed: boolean, now: string): Choice<string>[] {
  const known = 'failure' in tested ? undefined : tested;
  const detailOf = (engine: string): string | undefined =>
    known?.engine === engine ? `Here: ${known.reason}` : undefined;
  return [
    {
      value: 'auto',
      label: 'Automatic',
      description: 'a GPU that computes rightly, else the fastest kernels that do',
      detail: now === 'auto' && known ? `Here: ${known.engine} ${known.module ?? ''}`.trimEnd() : undefined,
    },
    {
      value: 'wasm',
      label: 'WebAssembly',
      description: 'the processor, with the fastest kernels that compute rightly',
      detail: detailOf('wasm'),
    },
    {
      value: 'webgpu',
      label: 'GPU (WebGPU)',
      description: 'the GPU of this machine, of any vendor',
      detail: known?.gpu ?? undefined,
    },
    {
      value: 'tensorflow',
      label: 'TensorFlow (CUDA)',
      description: 'an NVIDIA card with CUDA 11.2 and cuDNN 8.1',
      detail:
        detailOf('tensorflow') ??
        (installed
          ? 'Installed by FCD: Install CUDA Backend; tested when it is chosen.'
          : 'FCD: Install CUDA Backend installs it; the setting fcd.tensorflow.path names one of yours.'),
    },
    {
      value: 'cpu',
      label: 'JavaScript',
      description: 'a reference, a hundred times slower',
      detail: 'For comparing results only.',
    },
    ...(known?.selfTest ?? [])
      .filter(({ ok, module }) => ok && module.startsWith('simd'))
      .sort((a, b) => b.gflops - a.gflops)
      .map(({ module, gflops, detail }) => ({
        value: module,
        label: `WebAssembly ${module}`,
        description: `${gflops.toFixed(0)} GFLOP/s on one thread`,
        detail,
      })),
  ];
}
