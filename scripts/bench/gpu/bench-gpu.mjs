// `npm run bench -- --engine webgpu`: a GPU's ceilings, single convolutions, training steps, inference and class maps, in
// turns with PyTorch on the same device and with our engine on the processor.
import { cpus } from 'node:os';
import { startOurs } from '../peers.mjs';
import { headlinesOfCase, measureGpuCase } from './gpu-case.mjs';
import { headlinesOfNetwork, measureGpuNetwork } from './gpu-layers.mjs';
import { sentenceOf, sidesOf, startTorchOnGpu } from './sides.mjs';
import { SIZES } from './sizes.mjs';

/**
 * @param options what was asked: precisions, sizes, peers, rounds, isWanted, settings; `ceilings` measured before, if any
 * @param running the processes that are under way
 * @param write is given all results so far, again and again: whatever ends the benchmark, what was measured is kept
 */
export async function benchGpu(options, running, write) {
  const { precisions, sizes: name, peers, rounds, isWanted, settings } = options;
  const sizes = SIZES[name];
  const results = {
    date: new Date().toISOString(),
    node: process.version,
    cpu: cpus()[0]?.model,
    settings: { ...settings, rounds, sizes: name },
    headlines: [],
    networks: [],
    cases: [],
  };
  Object.assign(results, await lookAtGpu(options, running));
  results.torch = peers.includes('torch') ? await lookAtTorch(settings, running) : undefined;
  write(results);
  printDevice(results);

  const usable = precisions.filter((p) => p === 'f32' || results.gpu.features.includes('shader-f16'));
  const sides = sidesOf({
    precisions: usable,
    torchModes: results.torch?.modes ?? [],
    wasm: peers.includes('wasm'),
  });
  const context = { sides, sizes, rounds, settings, running, ceilings: results.ceilings };
  for (const network of sizes.networks.filter((one) => isWanted(one.name))) {
    const at = results.networks.length;
    const known = (result) => {
      results.networks[at] = result;
      write(results);
    };
    const result = await measureGpuNetwork(context, network, known);
    results.headlines.push(...headlinesOfNetwork(result, sides));
    known(result);
  }
  for (const one of sizes.cases.filter(({ name: of }) => isWanted(of))) {
    const result = await measureGpuCase(context, one);
    results.cases.push(result);
    results.headlines.push(...headlinesOfCase(result, sides));
    write(results);
  }
  return results;
}

/** The device, and its ceilings. */
async function lookAtGpu({ settings: { optimiser, checkpointActivations }, ceilings }, running) {
  const { peer, answer } = await startOurs({ engine: 'webgpu', optimiser, checkpointActivations }, running);
  try {
    return { gpu: answer.gpu, ceilings: ceilings ?? (await peer.ask({ do: 'ceilings' })) };
  } finally {
    peer.stop();
  }
}

/** What PyTorch computes with here, or why it does not. */
async function lookAtTorch(settings, running) {
  try {
    const { peer, answer } = await startTorchOnGpu(settings, running);
    peer.stop();
    return answer;
  } catch (error) {
    return { failed: sentenceOf(error), modes: [] };
  }
}

function printDevice({ gpu, ceilings, torch }) {
  const { copy, copyBytes, f32, f16, side, f32Products, f16Products } = ceilings;
  console.log(
    `${gpu.device || gpu.description} (${gpu.description}${gpu.software ? ', software' : ''}), Dawn ${gpu.dawn}, Node ${process.versions.node}`,
  );
  console.log(
    `copies ${copy.toFixed(0)} GB/s (${(copyBytes / 2 ** 20).toFixed(0)} MiB there and back counted), matrix product of ${side}^2: f32 ${f32.toPrecision(3)} TFLOP/s${f16 ? `, f16 ${f16.toPrecision(3)} TFLOP/s` : ''}`,
  );
  for (const [element, products] of Object.entries({ f32: f32Products, f16: f16Products }))
    for (const { kernel, tflops, failed } of products)
      console.log(`  ${element} ${kernel}: ${failed ?? `${tflops.toPrecision(3)} TFLOP/s`}`);
  if (!torch) return;
  if (torch.failed) console.log(`PyTorch is missing: ${torch.failed}`);
  else if (torch.device === 'cpu')
    console.log(`PyTorch ${torch.torch} finds no CUDA here and computes on the processor`);
  else
    console.log(
      `in turns with PyTorch ${torch.torch} on ${torch.name}, CUDA ${torch.cuda}, cuDNN ${torch.cudnn}`,
    );
}
