export const VULKAN_LOADER: string;

export function systemLibraries(): string[];

export function waysToGpu(asked: {
  readonly icd?: string;
  readonly out: string;
  readonly libraries?: readonly string[];
}): { readonly name: string; readonly env: Readonly<Record<string, string>> }[];
