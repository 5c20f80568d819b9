// Bundles what test:host runs into dist/host-tests/: the suites as the extension host requires them (CommonJS beside a
// package of ES modules), the launcher and the stand-in for a desktop VS Code.
import { chmodSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { ROOT } from '../test/vscode/locate.mjs';

const out = join(ROOT, 'dist', 'host-tests');
rmSync(out, { recursive: true, force: true });

const suites = readdirSync(join(ROOT, 'test/host'), { recursive: true })
  .filter((name) => name.endsWith('.test.ts'))
  .map((name) => join(ROOT, 'test/host', name));

const common = { bundle: true, platform: 'node', target: 'node20', sourcemap: 'linked', logLevel: 'warning' };
await build({
  ...common,
  format: 'cjs',
  entryPoints: [join(ROOT, 'test/host/index.ts'), ...suites],
  outbase: join(ROOT, 'test/host'),
  outdir: out,
  outExtension: { '.js': '.cjs' },
  external: ['vscode', 'mocha'],
});
await build({
  ...common,
  format: 'esm',
  entryPoints: [
    join(ROOT, 'test/host/launch.ts'),
    join(ROOT, 'test/vscode/headless-code.ts'),
    join(ROOT, 'test/vscode/make-workspace.ts'),
  ],
  outbase: join(ROOT, 'test'),
  entryNames: '[name]',
  outdir: out,
  outExtension: { '.js': '.mjs' },
  packages: 'external',
  // Plain JavaScript that finds the checkout from where it lies.
  plugins: [{ name: 'as-it-lies', setup: asItLies }],
});
chmodSync(join(out, 'headless-code.mjs'), 0o755);

function asItLies({ onResolve }) {
  onResolve({ filter: /\.mjs$/ }, ({ path, resolveDir, kind }) => {
    if (kind === 'entry-point') return undefined;
    return { path: `../../${join(resolveDir, path).slice(ROOT.length + 1)}`, external: true };
  });
}
