import tseslint from 'typescript-eslint';
import importX from 'eslint-plugin-import-x';

/** `from` may not be imported by `target`: core <- compute, cli <- extension; protocol <- all; webview -> protocol only. */
const zones = [
  {
    target: './src/core',
    from: ['./src/compute', './src/cli', './src/extension', './src/webview'],
    message: 'core is the library: it knows neither the command line, the compute process nor the editor.',
  },
  {
    target: './src/protocol',
    from: ['./src/core', './src/compute', './src/cli', './src/extension', './src/webview'],
    message: 'protocol is imported by all and imports none.',
  },
  { target: './src/compute', from: ['./src/cli', './src/extension', './src/webview'] },
  { target: './src/cli', from: ['./src/compute', './src/extension', './src/webview'] },
  {
    target: './src/extension',
    from: ['./src/core', './src/compute', './src/cli', './src/webview'],
    message: 'the extension speaks to core through protocol only.',
  },
  {
    target: './src/webview',
    from: ['./src/core', './src/compute', './src/cli', './src/extension'],
    message: 'a webview knows protocol only.',
  },
  {
    target: './src/core/volume',
    from: ['./src/core'],
    except: ['./volume', './errors.ts', './files', './random.ts'],
    message: 'volume is the ground floor of core.',
  },
  {
    target: './src/core/engine',
    from: ['./src/core'],
    except: ['./engine', './errors.ts', './files', './random.ts', './runtime'],
    message: 'the engine computes tensors; it knows no volumes, models or runs.',
  },
  {
    target: './src/core/weights',
    from: ['./src/core'],
    except: ['./weights', './errors.ts', './files'],
    message: 'weights reads and writes tensors by name; it knows no network.',
  },
  {
    target: './src/core/cohort',
    from: [
      './src/core/engine',
      './src/core/model',
      './src/core/train',
      './src/core/explain',
      './src/core/experiment',
    ],
  },
  {
    target: './src/core/model',
    from: ['./src/core/train', './src/core/explain', './src/core/experiment', './src/core/cohort'],
  },
  { target: './src/core/explain', from: ['./src/core/train', './src/core/experiment', './src/core/cohort'] },
  {
    target: [
      './src/core/cohort',
      './src/core/engine',
      './src/core/explain',
      './src/core/model',
      './src/core/train',
    ],
    from: './src/core/inference',
    message: 'inference puts them together; none of them knows it.',
  },
  { target: './src/core/stats', from: ['./src/core'], except: ['./stats', './errors.ts', './random.ts'] },
  { target: './src/core/train', from: ['./src/core/experiment'] },
];

export default tseslint.config(
  {
    ignores: [
      'dist/**',
      'node_modules/**',
      'src/core/engine/wasm/assembly/**',
      'fcd-demo/**',
      '.vscode-server/**',
      '.vscode-test/**',
      'test-results/**',
    ],
  },
  ...tseslint.configs.recommended,
  {
    files: ['src/**/*.ts', 'test/**/*.ts'],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    plugins: { 'import-x': importX },
    settings: { 'import-x/resolver-next': [importX.createNodeResolver({ extensions: ['.ts', '.js'] })] },
    rules: {
      'import-x/no-restricted-paths': ['error', { zones }],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      complexity: ['error', 30],
      'max-depth': ['error', 6],
    },
  },
  {
    files: ['src/core/**/*.ts'],
    rules: {
      'no-restricted-imports': ['error', { paths: ['vscode'], patterns: ['**/extension/**'] }],
      'no-console': 'error',
    },
  },
);
