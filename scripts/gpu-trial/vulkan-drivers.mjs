// Ways to a GPU's Vulkan driver. A machine for computing often has the driver without the file that names it, or in a place
// where nobody looks.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** Files that name a driver, where the Vulkan loader does not look by itself. */
const UNUSUAL = [
  '/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json',
  '/usr/local/nvidia/vulkan/icd.d/nvidia_icd.json',
  '/run/opengl-driver/share/vulkan/icd.d/nvidia_icd.x86_64.json',
  '/opt/amdgpu/share/vulkan/icd.d/amd_icd64.json',
];

/** NVIDIA's driver itself; the first does without X11. */
const NVIDIA_LIBRARIES = ['libEGL_nvidia.so.0', 'libGLX_nvidia.so.0'];

/**
 * Environments to try, the most natural first, each with a name for people.
 * @param {{ icd?: string, out: string, libraries?: string[] }} asked `icd`: that driver and no other; `out`: where files may
 * be written; `libraries`: what the system's linker knows (default: it is asked)
 * @returns {{ name: string, env: Record<string, string> }[]}
 */
export function waysToGpu({ icd, out, libraries = systemLibraries() }) {
  // The second is what loaders before 1.3.207 know.
  const driver = (path) => ({ VK_DRIVER_FILES: path, VK_ICD_FILENAMES: path });
  if (icd) return [{ name: icd, env: driver(resolve(icd)) }];
  const ways = [{ name: 'as the system has it', env: {} }];
  for (const path of UNUSUAL) if (existsSync(path)) ways.push({ name: path, env: driver(path) });
  for (const library of NVIDIA_LIBRARIES) {
    const found = libraries.find((path) => path.endsWith(`/${library}`));
    if (!found) continue;
    const path = join(out, `${library.split('.')[0]}.icd.json`);
    mkdirSync(out, { recursive: true });
    const manifest = { file_format_version: '1.0.0', ICD: { library_path: found, api_version: '1.3.0' } };
    writeFileSync(path, JSON.stringify(manifest));
    ways.push({ name: `${found}, which no file named`, env: driver(path) });
  }
  return ways;
}

/** Where libraries lie that a program may load by name. */
export function systemLibraries() {
  const printed =
    spawnSync('sh', ['-c', 'PATH=$PATH:/sbin:/usr/sbin ldconfig -p'], { encoding: 'utf8' }).stdout ?? '';
  const known = printed.split('\n').flatMap((line) => /=> (.*)$/.exec(line)?.[1] ?? []);
  const folders = [
    '/usr/local/nvidia/lib64',
    '/usr/local/nvidia/lib',
    ...(process.env.LD_LIBRARY_PATH ?? '').split(':'),
  ];
  for (const folder of folders.filter(Boolean))
    for (const library of [...NVIDIA_LIBRARIES, VULKAN_LOADER])
      if (existsSync(join(folder, library))) known.push(join(folder, library));
  return known;
}

export const VULKAN_LOADER = 'libvulkan.so.1';
