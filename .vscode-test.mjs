// `npx vscode-test` and the Extension Test Runner: the trusted suites through @vscode/test-cli, in the same editor as
// `npm run test:host` takes. Build first: `npm run build && node scripts/build-host-tests.mjs`.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig } from '@vscode/test-cli';
import { setUpServer } from './scripts/vscode-server.mjs';
import { TINY_WORKSPACE, makeWorkspace } from './dist/host-tests/make-workspace.mjs';
import { RESULTS, ROOT, locateEditor } from './test/vscode/locate.mjs';

const problem = setUpServer();
if (problem) throw new Error(problem);
const { VSCODE_EXECUTABLE_PATH: desktop, VSCODE_TEST_VERSION: version } = process.env;
const workspaceFolder = join(RESULTS, 'workspace');
rmSync(workspaceFolder, { recursive: true, force: true });
makeWorkspace(workspaceFolder, TINY_WORKSPACE);

export default defineConfig({
  files: 'dist/host-tests/*.test.cjs',
  workspaceFolder,
  version,
  ...(locateEditor().desktop && !desktop
    ? {}
    : { useInstallation: { fromPath: desktop ?? join(ROOT, 'dist/host-tests/headless-code.mjs') } }),
  mocha: { ui: 'bdd', timeout: 120_000 },
});
