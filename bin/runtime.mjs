// Which Node runs the work. Plain JavaScript without dependencies: it runs before anything is built or chosen.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const packageRoot = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Node >= 22 has relaxed SIMD and can fuse 128-bit WebAssembly operations into 256-bit ones. */
export const FAST_NODE_MAJOR = 22;

/**
 * The Node to run under and why: `FCD_NODE`, else this one when it is recent enough, else the runtime that npm
 * installed beside us for this platform, else this one with slower kernels.
 * @returns {{ path: string, reason: string }}
 */
export function bestNode() {
  const asked = process.env.FCD_NODE;
  if (asked) {
    if (!existsSync(asked))
      throw new Error(`FCD_NODE names ${asked}, which does not exist. Unset it or correct it.`);
    return { path: asked, reason: 'named by FCD_NODE' };
  }
  if (Number(process.versions.node.split('.')[0]) >= FAST_NODE_MAJOR)
    return { path: process.execPath, reason: `the Node that started fcd, ${process.version}` };
  const shipped = shippedNode();
  if (shipped)
    return { path: shipped, reason: `shipped by npm; the Node that started fcd is ${process.version}` };
  return {
    path: process.execPath,
    reason: `no newer runtime found; kernels run at 128 bits on ${process.version}`,
  };
}

function shippedNode() {
  const platform = process.platform === 'win32' ? 'win' : process.platform;
  const name = `node-${platform}-${process.arch}`;
  try {
    const manifest = createRequire(join(packageRoot, 'package.json')).resolve(`${name}/package.json`);
    const path = join(dirname(manifest), 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
    return existsSync(path) ? path : undefined;
  } catch {
    return undefined; // an optional dependency: absent on other platforms and with --omit=optional
  }
}
