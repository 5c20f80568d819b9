/**
 * Does work on a device and catches what WebGPU finds wrong with it, which would otherwise count as a failure of the device.
 * @returns the first line of what was wrong, if anything
 */
export async function refusalOf(device: GPUDevice, work: () => Promise<void>): Promise<string | undefined> {
  const filters = ['out-of-memory', 'internal', 'validation'] as const;
  for (const filter of filters) device.pushErrorScope(filter);
  let refusal: string | undefined;
  try {
    await work();
  } finally {
    for (let i = 0; i < filters.length; i++) {
      const error = await device.popErrorScope();
      refusal = error?.message.trim().split('\n')[0] ?? refusal;
    }
  }
  return refusal;
}
