export const VSIX_LIMIT_BYTES: number;
export const PLATFORM_LIMIT_BYTES: number;

/** Packs what is built into the .vsix at this path and answers its bytes; fails over the limit. */
export function makeVsix(path: string): Promise<number>;
/** The same with Node.js and Dawn for one platform (`linux-x64`, …), fetched from npm; fails over the limit. */
export function makePlatformVsix(path: string, target: string): Promise<number>;
/** Bytes of the weights that are shipped, by their files in models/. */
export function bytesOfWeights(): number;
