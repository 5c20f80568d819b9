// Which Node runs the work. Plain JavaScript without dependencies: it runs before anything is built or chosen.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FAST_NODE_MAJOR, nodeInPackage, nodeMajor, nodePackageName } from './node-package.mjs';

const packageRoot = join(dirname(fileURLToPath(import.meta.url)), '..');

/**
 * The Node to run under and why: `FCD_NODE`, else this one when it is recent enough, else the runtime that came with us
 * for this platform (in a platform package, or installed by npm), else this one with slower kernels.
 * @returns {{ path: string, reason: string }}
 */
export function bestNode() {
  const asked = process.env.FCD_NODE;
  if (asked) {
    if (!existsSync(asked))
      throw new Error(`FCD_NODE names ${asked}, which does not exist. Unset it or correct it.`);
    return { path: asked, reason: 'named by FCD_NODE' };
  }
  if (nodeMajor(process.version) >= FAST_NODE_MAJOR)
    return { path: process.execPath, reason: `the Node that started fcd, ${process.version}` };
  const shipped = shippedNode();
  if (shipped)
    return {
      path: shipped,
      reason: `shipped with FCD Lens; the Node that started fcd is ${process.version}`,
    };
  return {
    path: process.execPath,
    reason: `no newer runtime found; kernels run at 128 bits on ${process.version}`,
  };
}

function shippedNode() {
  try {
    // A platform package of the extension has it in dist/node_modules, npm beside us or above.
    const manifest = createRequire(join(packageRoot, 'dist', 'cli', 'main.js')).resolve(
      `${nodePackageName()}/package.json`,
    );
    const path = nodeInPackage(dirname(manifest));
    return existsSync(path) ? path : undefined;
  } catch {
    return undefined; // an optional dependency: absent on other platforms and with --omit=optional
  }
}
