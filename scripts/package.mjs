// `npm run package`: builds everything and makes fcd-lens-VERSION.vsix, whose size is held to what we promise.
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createVSIX } from '@vscode/vsce';
import { ROOT } from '../test/vscode/locate.mjs';

/** At most 3 MB without the weights of models/, so that a window on a slow line has it in seconds. */
export const VSIX_LIMIT_BYTES = 3_000_000;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const built = spawnSync(process.execPath, [join(ROOT, 'scripts/build.mjs'), '--quiet'], {
    stdio: 'inherit',
  });
  if (built.status !== 0) process.exit(built.status ?? 1);
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const vsix = join(ROOT, `fcd-lens-${version}.vsix`);
  const bytes = await makeVsix(vsix);
  console.log(`${vsix}: ${(bytes / 1e6).toFixed(2)} MB`);
}

/**
 * Packs what is built; .vscodeignore says what goes in.
 * @param {string} path the .vsix to write
 * @returns {Promise<number>} its bytes
 */
export async function makeVsix(path) {
  await createVSIX({
    cwd: ROOT,
    packagePath: path,
    dependencies: false, // all of them are bundled
    allowMissingRepository: true,
    rewriteRelativeLinks: false,
  });
  const { size } = statSync(path);
  const rest = size - bytesOfWeights();
  if (rest > VSIX_LIMIT_BYTES)
    throw new Error(
      `${path} has ${rest} bytes beside the weights, more than ${VSIX_LIMIT_BYTES}. See what is in it: npx vsce ls.`,
    );
  return size;
}

/** Bytes of the shipped weights, which hardly get smaller when they are packed. */
export function bytesOfWeights() {
  const models = join(ROOT, 'models');
  return readdirSync(models)
    .filter((name) => name.endsWith('.safetensors'))
    .reduce((sum, name) => sum + statSync(join(models, name)).size, 0);
}
