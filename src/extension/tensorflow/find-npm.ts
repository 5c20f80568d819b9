import { existsSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';

/** The first npm on a search path (the environment's PATH); undefined where there is none. */
export function findNpm(
  searchPath: string,
  platform: NodeJS.Platform = process.platform,
): string | undefined {
  const name = platform === 'win32' ? 'npm.cmd' : 'npm';
  return searchPath
    .split(delimiter)
    .filter((folder) => isAbsolute(folder))
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));
}
