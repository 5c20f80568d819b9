import { existsSync } from 'node:fs';
import { PEERS_REQUIRED } from './peers';

/**
 * Vulkan drivers that compute on the processor: kernels are right or wrong on them as on a GPU. Chromium's has no half
 * precision; Mesa's, from Debian's backports, has it and is several times faster.
 */
export const SOFTWARE_GPUS = {
  swiftshader: '/usr/lib/chromium/vk_swiftshader_icd.json',
  lavapipe: '/usr/share/vulkan/icd.d/lvp_icd.json',
} as const;
export type SoftwareGpu = keyof typeof SOFTWARE_GPUS;

/** Whether the driver is installed; throws instead of answering no where peers are required. */
export function haveSoftwareGpu(name: SoftwareGpu): boolean {
  const have = existsSync(SOFTWARE_GPUS[name]);
  if (!have && PEERS_REQUIRED)
    throw new Error(`${SOFTWARE_GPUS[name]} is missing, and FCD_REQUIRE_PEERS=1: install ${name}.`);
  return have;
}

/** Lets this process, and those it starts, see this GPU alone. Once Dawn has looked, it looks no more. */
export function useSoftwareGpu(name: SoftwareGpu): void {
  process.env.VK_ICD_FILENAMES = SOFTWARE_GPUS[name];
}
