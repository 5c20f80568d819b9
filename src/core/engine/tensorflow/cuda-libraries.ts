import { messageOf } from '../../errors';

/** What TensorFlow 2.9, which @tensorflow/tfjs-node-gpu 4.22 brings along, was built with. */
export const CUDA_VERSION = '11.2';
export const CUDNN_VERSION = '8.1';

/** Who brings a library along, and what to do where it is missing. */
interface Origin {
  readonly name: string;
  readonly remedy: string;
}

const searchPath = process.platform === 'win32' ? 'PATH' : 'LD_LIBRARY_PATH';

const DRIVER: Origin = {
  name: "NVIDIA's driver",
  remedy: 'Install the driver of the card (nvidia-smi must list it).',
};
const CUDA: Origin = {
  name: `CUDA ${CUDA_VERSION}`,
  remedy: `Install the CUDA Toolkit ${CUDA_VERSION} (a newer major version does not serve) and add its folder of libraries to ${searchPath}.`,
};
const CUDNN: Origin = {
  name: `cuDNN ${CUDNN_VERSION}`,
  remedy: `Install cuDNN ${CUDNN_VERSION} for CUDA ${CUDA_VERSION} and add its folder of libraries to ${searchPath}.`,
};

/** Library by library as TensorFlow looks for them, in the order in which they need each other. */
const LIBRARIES: readonly { readonly linux: string; readonly win32: string; readonly of: Origin }[] = [
  { linux: 'libcuda.so.1', win32: 'nvcuda.dll', of: DRIVER },
  { linux: 'libcudart.so.11.0', win32: 'cudart64_110.dll', of: CUDA },
  { linux: 'libcublas.so.11', win32: 'cublas64_11.dll', of: CUDA },
  { linux: 'libcublasLt.so.11', win32: 'cublasLt64_11.dll', of: CUDA },
  { linux: 'libcufft.so.10', win32: 'cufft64_10.dll', of: CUDA },
  { linux: 'libcurand.so.10', win32: 'curand64_10.dll', of: CUDA },
  { linux: 'libcusolver.so.11', win32: 'cusolver64_11.dll', of: CUDA },
  { linux: 'libcusparse.so.11', win32: 'cusparse64_11.dll', of: CUDA },
  { linux: 'libcudnn.so.8', win32: 'cudnn64_8.dll', of: CUDNN },
];

/**
 * What a message of the system's loader says is missing of driver, CUDA or cuDNN, in sentences that tell what to do.
 * @returns undefined where the message names none of their libraries
 */
export function missingInMessage(message: string): string | undefined {
  const named = LIBRARIES.filter(({ linux, win32 }) => message.includes(linux) || message.includes(win32));
  return sentenceFor(named);
}

/**
 * What of driver, CUDA and cuDNN this machine's loader cannot find, in sentences that tell what to do. TensorFlow itself
 * only prints it, and computes on the processor.
 * @returns undefined where all of it is there, or where there is no CUDA (macOS)
 */
export function missingLibraries(): string | undefined {
  const { platform } = process;
  if (platform !== 'linux' && platform !== 'win32') return undefined;
  return sentenceFor(LIBRARIES.filter((library) => !canLoad(library[platform])));
}

function sentenceFor(missing: typeof LIBRARIES): string | undefined {
  const platform = process.platform === 'win32' ? 'win32' : 'linux';
  const origins = [DRIVER, CUDA, CUDNN].filter((origin) => missing.some(({ of }) => of === origin));
  if (origins.length === 0) return undefined;
  return origins
    .map((origin) => {
      const names = missing.filter(({ of }) => of === origin).map((library) => library[platform]);
      return `${names.join(', ')} of ${origin.name} cannot be loaded. ${origin.remedy}`;
    })
    .join(' ');
}

/** Asks the loader; a library that is no add-on of Node.js is loaded and then refused by Node.js. */
function canLoad(library: string): boolean {
  try {
    process.dlopen({ exports: {} }, library);
    return true;
  } catch (error) {
    return messageOf(error).includes('self-register');
  }
}
