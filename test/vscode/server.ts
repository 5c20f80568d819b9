import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { locateEditor } from './locate.mjs';

/** Debian's Chromium brings a Vulkan driver that computes on the CPU; some engines find no other one on a bare machine. */
const SOFTWARE_VULKAN = '/usr/lib/chromium/vk_swiftshader_icd.json';

export interface ServerOptions {
  /** Folder of installed extensions; a fresh empty one by default. */
  readonly extensions?: string;
  /** Folder of user data; a fresh one by default. */
  readonly userData?: string;
  /** User settings, written where the folder has none. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** What the extension host inherits beside this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** A file for what the server prints. */
  readonly log?: string;
  /**
   * Take an extension under development and its tests from the window's address. Without this switch of the server a
   * window silently ignores them.
   */
  readonly development?: boolean;
}

export interface Server {
  /** `127.0.0.1:port`. Webviews need a secure context, which plain http is under this name only. */
  readonly authority: string;
  readonly pid: number;
  /** How the first extension host ended: undefined when by itself, else a sentence. */
  readonly hostEnded: Promise<string | undefined>;
  stop(): Promise<void>;
}

/**
 * Starts the VS Code server on a free port of the loopback interface.
 * @throws Error when it is not installed or does not listen within a minute
 */
export async function startServer(options: ServerOptions): Promise<Server> {
  const { server, node } = locateEditor();
  if (!node || !existsSync(server)) throw new Error('No VS Code server: run node scripts/vscode-server.mjs.');
  const scratch = mkdtempSync(join(tmpdir(), 'fcd-vscode-'));
  const userData = options.userData ?? join(scratch, 'user');
  const extensions = options.extensions ?? join(scratch, 'extensions');
  mkdirSync(extensions, { recursive: true });
  mkdirSync(join(userData, 'User'), { recursive: true });
  const settings = join(userData, 'User', 'settings.json');
  if (!existsSync(settings)) writeFileSync(settings, JSON.stringify(options.settings, null, 2));

  const process_ = spawn(
    node,
    [
      server,
      ...['--host', '127.0.0.1', '--port', '0', '--without-connection-token'],
      ...['--accept-server-license-terms', '--telemetry-level', 'off', '--log', 'info'],
      ...['--server-data-dir', scratch, '--user-data-dir', userData, '--extensions-dir', extensions],
      ...(options.development ? ['--enable-smoke-test-driver'] : []),
    ],
    {
      env: { ...cleanEnvironment(), XDG_RUNTIME_DIR: scratch, ...softwareVulkan(), ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true, // leader of a process group that holds extension hosts, terminals and file watchers
    },
  );
  const gone = new Promise<string>((resolve) => {
    process_.once('error', (error) => resolve(`The VS Code server did not start: ${error.message}`));
    process_.once('exit', (code, signal) => resolve(`The VS Code server ended (${code ?? signal}).`));
  });
  const log = options.log ? createWriteStream(options.log) : undefined;
  const stop = async () => {
    endGroup(process_.pid, 'SIGTERM');
    await Promise.race([gone, delay(5000, undefined, { ref: false })]);
    endGroup(process_.pid, 'SIGKILL');
    log?.end();
    rmSync(scratch, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  };

  let printed = '';
  let tellHostEnded: (how: string | undefined) => void;
  const hostEnded = new Promise<string | undefined>((resolve) => (tellHostEnded = resolve));
  const listening = new Promise<number>((resolve) => {
    const read = (chunk: Buffer) => {
      log?.write(chunk);
      printed += chunk.toString();
      const port = /Extension host agent listening on (\d+)/.exec(printed);
      if (port) resolve(Number(port[1]));
      const ended = /Extension Host Process exited with code: (\S+), signal: (\S+)\./.exec(printed);
      if (ended)
        tellHostEnded(
          ended[1] === '0' ? undefined : `The extension host died: code ${ended[1]}, signal ${ended[2]}.`,
        );
      if (port && printed.length > 1 << 16) printed = printed.slice(-(1 << 12));
    };
    process_.stdout.on('data', read);
    process_.stderr.on('data', read);
  });
  const port = await Promise.race([
    listening,
    gone,
    delay(60_000, 'The VS Code server does not listen after a minute.', { ref: false }),
  ]);
  if (typeof port === 'string' || !process_.pid) {
    await stop();
    throw new Error(`${port}\n${printed}`);
  }
  return { authority: `127.0.0.1:${port}`, pid: process_.pid, hostEnded, stop };
}

/** This environment without what an editor or npm around us put into it for its own children. */
export function cleanEnvironment(): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) =>
        name === 'VSCODE_TEST_OPTIONS' || !/^(VSCODE_|ELECTRON_|npm_|NODE_OPTIONS$|VITEST)/.test(name),
    ),
  );
}

function softwareVulkan(): Record<string, string> {
  const chosen = process.env.VK_ICD_FILENAMES ?? process.env.VK_DRIVER_FILES;
  return chosen || !existsSync(SOFTWARE_VULKAN) ? {} : { VK_ICD_FILENAMES: SOFTWARE_VULKAN };
}

function endGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (!pid) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // It is gone already.
  }
}
