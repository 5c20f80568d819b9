// Files of an npm package of a pinned version, without installing it: its scripts do not run, and neither its operating
// system nor its processor need be this machine's.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

/**
 * @param {{ package: string, version: string, integrity: string }} pin integrity as package-lock.json has it: `sha512-…`
 * @returns {Map<string, { bytes: Buffer, mode: number }>} by path within the package
 */
export function filesOfPackage({ package: name, version, integrity }) {
  const folder = mkdtempSync(join(tmpdir(), 'fcd-npm-'));
  try {
    const packed = spawnSync(
      'npm',
      ['pack', `${name}@${version}`, '--silent', '--ignore-scripts', '--pack-destination', folder],
      { encoding: 'utf8', shell: process.platform === 'win32' },
    );
    if (packed.status !== 0)
      throw new Error(
        `npm could not fetch ${name} ${version}: ${packed.stderr || packed.error?.message || 'no reason given'}. Check the connection to the registry.`,
      );
    const [tarball] = readdirSync(folder);
    const bytes = readFileSync(join(folder, tarball));
    const found = `sha512-${createHash('sha512').update(bytes).digest('base64')}`;
    if (found !== integrity)
      throw new Error(
        `${name} ${version} is not what was pinned: its integrity is ${found}, not ${integrity}. Do not ship it before you know why.`,
      );
    return filesOfTar(gunzipSync(bytes));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const BLOCK = 512;

/**
 * Regular files of a tar archive (POSIX ustar, with pax paths), the first folder of their paths left out, as npm does.
 * @param {Buffer} tar
 */
function filesOfTar(tar) {
  const files = new Map();
  let longPath;
  for (let at = 0; at + BLOCK <= tar.length && tar[at] !== 0;) {
    const text = (from, length) => {
      const field = tar.subarray(at + from, at + from + length);
      const end = field.indexOf(0);
      return field.toString('utf8', 0, end < 0 ? length : end);
    };
    const size = parseInt(text(124, 12), 8);
    const type = text(156, 1);
    const content = tar.subarray(at + BLOCK, at + BLOCK + size);
    if (type === 'x') longPath = /\d+ path=([^\n]*)\n/.exec(content.toString('utf8'))?.[1];
    else {
      const prefix = text(345, 155);
      const path = longPath ?? (prefix ? `${prefix}/${text(0, 100)}` : text(0, 100));
      longPath = undefined;
      if (type === '0' || type === '')
        files.set(path.slice(path.indexOf('/') + 1), {
          bytes: Buffer.from(content),
          mode: parseInt(text(100, 8), 8),
        });
    }
    at += BLOCK * (1 + Math.ceil(size / BLOCK));
  }
  return files;
}
