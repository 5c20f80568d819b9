import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import { FAST_NODE_MAJOR, nodeInPackage, nodeMajor, nodePackageName } from '../../../bin/node-package.mjs';

/** A Node.js to run the compute process and tasks with. */
export interface Runtime {
  readonly path: string;
  /** Before the program. None of the runtimes of today needs any. */
  readonly args: readonly string[];
  /** To be added to the environment. */
  readonly env: Readonly<Record<string, string>>;
  /** `v24.21.0`. */
  readonly version: string;
  /** Why this one, as half a sentence: `shipped with FCD Lens`. */
  readonly reason: string;
}

/** Everything that the choice rests on; {@link thisHost} is the extension host's own. */
export interface Host {
  /** The setting fcd.node.path; empty: none. */
  readonly setting: string;
  /** Folder of the extension. */
  readonly extensionRoot: string;
  readonly execPath: string;
  readonly versions: { readonly node: string; readonly electron?: string };
  readonly platform: NodeJS.Platform;
  readonly arch: NodeJS.Architecture;
  /** The environment's PATH. */
  readonly searchPath: string;
  /** What an executable answers to `--version`; rejects where it cannot be run. */
  readonly askVersion: (path: string) => Promise<string>;
}

/** Older ones lack what the program is written with. */
const LEAST_MAJOR = 20;

/** The setting names something that cannot be used. The message is a sentence for people. */
export class RuntimeSettingError extends Error {
  override readonly name = 'RuntimeSettingError';
}

/**
 * The Node.js for everything that computes. In this order: the setting, the one that the extension brings along for
 * this platform, the host's own where that is plain Node.js (remote, WSL, container, code-server), `node` on PATH,
 * Electron run as Node.js. From version 22 on kernels are about twice as fast, so older ones are taken only where
 * nothing else is there.
 * @throws RuntimeSettingError where the setting names no Node.js that can be used: it is never passed over in silence
 */
export async function chooseRuntime(host: Host): Promise<Runtime> {
  if (host.setting !== '') return fromSetting(host);
  const shipped = shippedNode(host);
  const version = shipped && (await usable(shipped, host));
  if (shipped && version) return plain(shipped, version, 'shipped with FCD Lens for this platform');

  const own = `v${host.versions.node}`;
  const ownIsPlain = host.versions.electron === undefined;
  const ownReason = "the editor's extension host runs on it";
  if (ownIsPlain && fast(own)) return plain(host.execPath, own, ownReason);

  for (const path of onSearchPath(host)) {
    const found = await usable(path, host);
    if (found) return plain(path, found, 'found on PATH');
  }

  const slower = `; Node.js ${FAST_NODE_MAJOR} or newer computes faster and was not found (setting fcd.node.path)`;
  if (ownIsPlain) return plain(host.execPath, own, `${ownReason}${slower}`);
  return {
    ...plain(host.execPath, own, `the editor's Electron ${host.versions.electron} run as Node.js${slower}`),
    env: { ELECTRON_RUN_AS_NODE: '1' },
  };
}

/** The host that this code runs in. */
export function thisHost(setting: string, extensionRoot: string): Host {
  return {
    setting,
    extensionRoot,
    execPath: process.execPath,
    versions: process.versions,
    platform: process.platform,
    arch: process.arch,
    searchPath: process.env.PATH ?? '',
    askVersion,
  };
}

async function fromSetting(host: Host): Promise<Runtime> {
  const path = host.setting;
  const wrong = (why: string): RuntimeSettingError =>
    new RuntimeSettingError(
      `The setting fcd.node.path is ${path}, ${why}. Correct it, or empty it so that FCD Lens chooses.`,
    );
  if (!isAbsolute(path)) throw wrong('which is no absolute path');
  if (!existsSync(path)) throw wrong('which does not exist');
  const version = await host.askVersion(path).catch(() => undefined);
  if (version === undefined) throw wrong('which cannot be run');
  if (!(nodeMajor(version) >= LEAST_MAJOR))
    throw wrong(
      Number.isNaN(nodeMajor(version))
        ? `which does not answer like Node.js (it says ${JSON.stringify(version.slice(0, 40))})`
        : `which is Node.js ${version}; ${LEAST_MAJOR} is the oldest that works, ${FAST_NODE_MAJOR} or newer computes faster`,
    );
  return plain(path, version, 'named by the setting fcd.node.path');
}

function plain(path: string, version: string, reason: string): Runtime {
  return { path, args: [], env: {}, version, reason };
}

function fast(version: string): boolean {
  return nodeMajor(version) >= FAST_NODE_MAJOR;
}

/** The version of a Node.js that runs here and is recent; undefined for anything else. */
async function usable(path: string, host: Host): Promise<string | undefined> {
  const version = await host.askVersion(path).catch(() => undefined);
  return version !== undefined && fast(version) ? version : undefined;
}

/** In a platform package beside the programs; in a clone where npm installs. */
const SHIPPED_IN = ['dist/node_modules', 'node_modules'];

function shippedNode({ extensionRoot, platform, arch }: Host): string | undefined {
  return SHIPPED_IN.map((folder) =>
    nodeInPackage(join(extensionRoot, folder, nodePackageName(platform, arch)), platform),
  ).find((path) => existsSync(path));
}

function onSearchPath({ searchPath, platform }: Host): string[] {
  const name = platform === 'win32' ? 'node.exe' : 'node';
  return searchPath
    .split(delimiter)
    .filter((folder) => isAbsolute(folder))
    .map((folder) => join(folder, name))
    .filter((path) => existsSync(path));
}

const MILLISECONDS_TO_ANSWER = 10_000;

/** Asks an executable for its version, without what a debugger puts into the environment. */
function askVersion(path: string): Promise<string> {
  const env = { ...process.env };
  delete env.NODE_OPTIONS;
  return new Promise((resolve, reject) => {
    execFile(path, ['--version'], { timeout: MILLISECONDS_TO_ANSWER, env }, (error, stdout) => {
      if (error) reject(error);
      else resolve(stdout.trim());
    });
  });
}
