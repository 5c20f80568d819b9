// `node scripts/tensorflow-kernels.mjs`: refreshes the list of kernels that @tensorflow/tfjs-node registers, which tests
// hold against what our operations ask for. It is read from the package's JavaScript; nothing of it is run.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import { filesOfPackage } from './platform/npm-tarball.mjs';

/** The same JavaScript as in @tensorflow/tfjs-node-gpu of that version; the packages differ in what they install. */
const PIN = {
  package: '@tensorflow/tfjs-node',
  version: '4.22.0',
  integrity:
    'sha512-uHrXeUlfgkMxTZqHkESSV7zSdKdV0LlsBeblqkuKU9nnfxB1pC6DtoyYVaLxznzZy7WQSegjcohxxCjAf6Dc7w==',
};
const TARGET = join(
  fileURLToPath(import.meta.url),
  '../../test/unit/engine/fixtures/tensorflow-kernels.json',
);

const files = filesOfPackage(PIN);
const text = (path) => {
  const file = files.get(path);
  if (!file) throw new Error(`${PIN.package} ${PIN.version} has no ${path}: it is built differently now.`);
  return file.bytes.toString('utf8');
};

// `var kernelConfigs = [Abs_1.absConfig, …]`, where `Abs_1 = require("./kernels/Abs")`.
const index = text('dist/register_all_kernels.js');
const sources = new Map(
  [...index.matchAll(/var (\w+) = require\("\.\/(kernels\/\w+)"\)/g)].map(([, name, path]) => [name, path]),
);
const list = /kernelConfigs = \[([^\]]*)\]/.exec(index)?.[1] ?? '';
const kernels = [...list.matchAll(/(\w+)\.(\w+)/g)].map(([, module, config]) => {
  const source = text(`dist/${sources.get(module)}.js`);
  const [, quote, name] =
    new RegExp(`exports\\.${config} = \\{\\s*kernelName: (?:(')|\\w+\\.)(\\w+)`).exec(source) ?? [];
  const kernel = quote ? name : tf[name];
  if (typeof kernel !== 'string') throw new Error(`${config} names no kernel.`);
  return kernel;
});
if (kernels.length < 100) throw new Error(`Only ${kernels.length} kernels were found in the package.`);

const { package: name, version } = PIN;
writeFileSync(
  TARGET,
  `${JSON.stringify({ package: name, version, kernels: kernels.sort() }, undefined, 2)}\n`,
);
console.log(`${TARGET}: ${kernels.length} kernels of ${name} ${version}`);
