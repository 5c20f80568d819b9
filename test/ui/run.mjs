// `npm run test:ui [-- --update]`: the click-through on the packaged extension. `--update` puts the pictures where
// README shows them. Where the editor cannot be had, it skips by name, which is a failure where peers are required.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { setUpServer } from '../../scripts/vscode-server.mjs';
import { ROOT, locateEditor } from '../vscode/locate.mjs';

const update = process.argv.includes('--update');
const more = process.argv.slice(2).filter((one) => one !== '--update');
const problem = locateEditor().desktop
  ? 'the click-through needs the VS Code server; unset VSCODE_EXECUTABLE_PATH and VSCODE_TEST_VERSION'
  : setUpServer();
if (problem) {
  const required = process.env.FCD_REQUIRE_PEERS === '1';
  console.log(`${required ? 'FAILED ' : 'skipped'} the click-through: ${problem}`);
  console.log(required ? '0 passed, 1 failed, 0 skipped' : '0 passed, 0 failed, 1 skipped');
  process.exit(required ? 1 : 0);
}
const run = spawnSync(
  process.execPath,
  [join(ROOT, 'node_modules/vitest/vitest.mjs'), 'run', '--config', 'vitest.ui.config.ts', ...more],
  { cwd: ROOT, stdio: 'inherit', env: { ...process.env, FCD_UPDATE_IMAGES: update ? '1' : '' } },
);
process.exit(run.status ?? 1);
