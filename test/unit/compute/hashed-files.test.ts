import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { HashedFiles } from '../../../src/compute/hashed-files';

const folder = mkdtempSync(join(tmpdir(), 'fcd-hashed-'));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'weights.pth');
const expected = (content: string): string => createHash('sha256').update(content).digest('hex');

it('reads a file once for its hash, and again when it has changed, also to the same size and time', async () => {
  const files = new HashedFiles();
  let read = 0;
  const hash = (): Promise<string> =>
    files.sha256(path, async () => {
      read++;
    });
  writeFileSync(path, 'first');
  utimesSync(path, 1, 1);
  expect([await hash(), await hash(), read]).toEqual([expected('first'), expected('first'), 1]);
  writeFileSync(path, 'other');
  utimesSync(path, 1, 1);
  expect([await hash(), read]).toEqual([expected('other'), 2]);
});

it('keeps no hash of a file that was written to while it was read', async () => {
  const files = new HashedFiles();
  writeFileSync(path, 'before');
  await files.sha256(path, async () => writeFileSync(path, 'behind, and longer'));
  expect(await files.sha256(path)).toBe(expected('behind, and longer'));
});

it('says what the system says where there is no file', async () => {
  await expect(new HashedFiles().sha256(join(folder, 'none'))).rejects.toThrow('ENOENT');
});
