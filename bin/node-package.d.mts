export const FAST_NODE_MAJOR: number;
export function nodePackageName(platform?: NodeJS.Platform, arch?: NodeJS.Architecture): string;
export function nodeInPackage(folder: string, platform?: NodeJS.Platform): string;
export function nodeMajor(version: string): number;
