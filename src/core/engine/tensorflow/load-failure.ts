import { InputError, messageOf } from '../../errors';
import { missingInMessage } from './cuda-libraries';
import type { TensorflowPackage } from './find-package';

/** Failures by what their message says, the more particular ones first. */
const FAILURES: readonly { readonly says: RegExp; readonly sentence: (again: string) => string }[] = [
  {
    says: /NODE_MODULE_VERSION|N-?API version|napi_build_version|Node-API version/i,
    sentence: (again) =>
      `its add-on was built for another Node.js than ${process.version}. ${again}, or compute with another Node.js (FCD_NODE, or the setting fcd.node.path).`,
  },
  {
    says: /GLIBC(XX)?_[\d.]+|symbol lookup error|undefined symbol/,
    sentence: (again) =>
      `its libraries do not fit those of this system. It wants glibc 2.27 or newer on x64; ${lower(again)} where the system has been updated since.`,
  },
  {
    says: /invalid ELF header|wrong ELF class|not a valid Win32 application|mach-o/i,
    sentence: (again) => `it was installed for another system or processor. ${again} on this machine.`,
  },
  {
    says: /libtensorflow(_framework)?[.\w]*|tensorflow\.dll/,
    sentence: (again) =>
      `TensorFlow's own library was not downloaded when it was installed. ${again}; storage.googleapis.com must be within reach.`,
  },
  {
    says: /tfjs_binding(\.node)?/,
    sentence: (again) =>
      `its add-on is missing: npm did not run its install script, or the download failed. ${again}, without --ignore-scripts; storage.googleapis.com must be within reach.`,
  },
  {
    says: /Cannot find (module|package)/,
    sentence: (again) => `it is not installed whole. ${again}.`,
  },
];

/** Why a package that is there cannot be loaded, and what to do about it. */
export function loadFailure(error: unknown, { name, version, folder }: TensorflowPackage): InputError {
  const message = messageOf(error);
  const again = `Install it again (FCD: Install CUDA Backend, or npm install ${name}@${version})`;
  const why =
    missingInMessage(message) ??
    FAILURES.find(({ says }) => says.test(message))?.sentence(again) ??
    `${again}, or choose another engine.`;
  return new InputError(
    `${name} ${version} in ${folder} cannot be loaded: ${why} (It said: ${firstLine(message)})`,
    { cause: error },
  );
}

function firstLine(message: string): string {
  return message.trim().split('\n')[0].trim();
}

function lower(sentence: string): string {
  return sentence[0].toLowerCase() + sentence.slice(1);
}
