import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { afterEach, describe, expect, it } from 'vitest';
import { InputError } from '../../../src/core/errors';
import { missingInMessage } from '../../../src/core/engine/tensorflow/cuda-libraries';
import { findTensorflow, type TensorflowPackage } from '../../../src/core/engine/tensorflow/find-package';
import { loadFailure } from '../../../src/core/engine/tensorflow/load-failure';
import { loadTensorflow } from '../../../src/core/engine/tensorflow/load-package';
import { installStandIn, type StandIn } from './tensorflow-stand-in';

const standIns: StandIn[] = [];
afterEach(() => {
  for (const standIn of standIns.splice(0)) standIn.remove();
});
function installed(...args: Parameters<typeof installStandIn>): StandIn {
  const standIn = installStandIn(...args);
  standIns.push(standIn);
  return standIn;
}

const CPU = '@tensorflow/tfjs-node';
const GPU = '@tensorflow/tfjs-node-gpu';

describe('finding TensorFlow for Node.js', () => {
  it('looks nowhere unless told where', () => {
    expect(findTensorflow({})).toBeUndefined();
  });

  it('takes what the editor installed, and says so', () => {
    const { folder } = installed(GPU);
    writeFileSync(join(folder, 'package.json'), '{ "private": true }'); // of a project that has no name
    expect(findTensorflow({ storage: folder })).toEqual({
      name: GPU,
      version: '4.22.0',
      folder: join(folder, 'node_modules', GPU),
      found: 'installed by FCD Lens',
    });
  });

  it('does not look above the storage folder', () => {
    const { folder } = installed(CPU);
    const below = join(folder, 'storage');
    mkdirSync(below);
    expect(findTensorflow({ storage: below })).toBeUndefined();
    expect(findTensorflow({ storage: join(folder, 'nowhere') })).toBeUndefined();
  });

  it('finds it from a workspace as Node.js does, in folders above as well', () => {
    const { folder } = installed(CPU);
    const below = join(folder, 'packages', 'study');
    mkdirSync(below, { recursive: true });
    const found = findTensorflow({ workspaces: ['/nowhere', below] });
    expect(found).toMatchObject({ name: CPU, found: `of the workspace ${below}` });
  });

  it('takes a named folder before the storage, and the storage before a workspace', () => {
    const [named, storage, workspace] = [installed(CPU), installed(CPU), installed(GPU)];
    const places = { storage: storage.folder, workspaces: [workspace.folder] };
    expect(findTensorflow({ ...places, named: named.folder })?.folder).toContain(named.folder);
    expect(findTensorflow(places)?.folder).toContain(storage.folder);
  });

  it('takes the one with CUDA where both are installed', () => {
    const { folder } = installed(CPU);
    const gpu = join(folder, 'node_modules', GPU);
    mkdirSync(gpu);
    writeFileSync(join(gpu, 'package.json'), JSON.stringify({ name: GPU, version: '4.22.0' }));
    expect(findTensorflow({ storage: folder })?.name).toBe(GPU);
  });

  it("takes the package's own folder by name", () => {
    const { folder } = installed(CPU);
    expect(findTensorflow({ named: join(folder, 'node_modules', CPU) })?.name).toBe(CPU);
  });

  it('refuses a named folder that has none: another is not taken in its place', () => {
    const { folder } = installed(CPU);
    expect(() => findTensorflow({ named: '/nowhere', storage: folder })).toThrow(
      /Neither @tensorflow\/tfjs-node-gpu nor @tensorflow\/tfjs-node can be found from \/nowhere\. Name a folder/,
    );
  });

  it('says which description is broken', () => {
    const { folder } = installed(CPU);
    writeFileSync(join(folder, 'node_modules', CPU, 'package.json'), '{');
    expect(() => findTensorflow({ storage: folder })).toThrow(/package\.json is not a package's description/);
  });
});

describe('loading TensorFlow for Node.js', () => {
  const found = (standIn: StandIn): TensorflowPackage => {
    const one = findTensorflow({ named: standIn.folder });
    if (!one) throw new Error('The stand-in is not found.');
    return one;
  };

  it('makes its backend the current one, also on a Node.js without the functions that it calls', async () => {
    const loaded = await loadTensorflow(found(installed()), undefined);
    expect(loaded).toEqual({ usesGpu: false, library: '2.9.1' });
    expect(tf.getBackend()).toBe('tensorflow');
    expect(tf.tidy(() => tf.add(1, 2).arraySync())).toBe(3);
    // It was there to be called while the package was loaded: Node.js 23 and newer have none of their own.
    expect(process.env.TF_FORCE_GPU_ALLOW_GROWTH).toBe('true');
  });

  it('refuses another version than that of our tfjs-core, before it runs anything of it', async () => {
    const source = 'throw new Error("must not run");';
    const other = found(installed(GPU, { version: '4.10.0', source }));
    await expect(loadTensorflow(other, undefined)).rejects.toThrow(
      /is version 4\.10\.0; FCD Lens works with 4\.22\.0\. Install that one: npm install @tensorflow\/tfjs-node-gpu@4\.22\.0/,
    );
  });

  it('says what to do where it throws', async () => {
    const source =
      'throw new Error("libcudart.so.11.0: cannot open shared object file: No such file or directory");';
    const broken = loadTensorflow(found(installed(GPU, { source })), undefined);
    await expect(broken).rejects.toThrow(InputError);
    await expect(broken).rejects.toThrow(
      /libcudart\.so\.11\.0 of CUDA 11\.2 cannot be loaded\. Install the CUDA Toolkit 11\.2/,
    );
  });
});

describe('what a failure to load comes to', () => {
  const found: TensorflowPackage = {
    name: GPU,
    version: '4.22.0',
    folder: '/x',
    found: 'installed by FCD Lens',
  };
  const sentence = (message: string) => loadFailure(new Error(message), found).message;

  it.each([
    [
      'libcudnn.so.8: cannot open shared object file',
      /libcudnn\.so\.8 of cuDNN 8\.1 cannot be loaded\. Install cuDNN 8\.1 for CUDA 11\.2/,
    ],
    [
      'libcuda.so.1: cannot open shared object file',
      /NVIDIA's driver cannot be loaded\. Install the driver of the card/,
    ],
    [
      'libtensorflow.so.2: cannot open shared object file',
      /library was not downloaded.*storage\.googleapis\.com must be within reach/,
    ],
    [
      'The Node.js native addon module (tfjs_binding.node) can not be found at path: /x/lib/napi-v8/tfjs_binding.node. \nPlease run command',
      /its add-on is missing: npm did not run its install script.*\(It said: The Node\.js native addon module \(tfjs_binding\.node\) can not be found at path: \/x\/lib\/napi-v8\/tfjs_binding\.node\.\)/s,
    ],
    [
      "The module '/x/lib/napi-v8/tfjs_binding.node' was compiled against a different Node.js version using NODE_MODULE_VERSION 93.",
      /built for another Node\.js than v\d+.*setting fcd\.node\.path/,
    ],
    [
      "/lib/x86_64-linux-gnu/libm.so.6: version `GLIBC_2.29' not found (required by /x/tfjs_binding.node)",
      /do not fit those of this system/,
    ],
    ['/x/lib/napi-v8/tfjs_binding.node: invalid ELF header', /installed for another system or processor/],
    ["Cannot find module '@tensorflow/tfjs'\nRequire stack:\n- /x/dist/index.js", /is not installed whole/],
    [
      'the moon is full',
      /Install it again \(FCD: Install CUDA Backend, or npm install .*\), or choose another engine\. \(It said: the moon is full\)/,
    ],
  ])('%s', (message, expected) => {
    expect(sentence(message)).toMatch(expected);
    expect(sentence(message)).toMatch(/^@tensorflow\/tfjs-node-gpu 4\.22\.0 in \/x cannot be loaded: /);
  });

  it('names nothing of CUDA where the message does not', () => {
    expect(missingInMessage('out of luck')).toBeUndefined();
  });
});
