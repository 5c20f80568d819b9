import { create, globals } from 'webgpu';
import { expect, it } from 'vitest';
import { matrixUnitText, matrixUnitTile } from '../../../scripts/bench/gpu/product-text';

// No GPU in software multiplies small matrices at once. Dawn's backend that draws and computes nothing has all features,
// and so at least checks a kernel's text.
it.each([
  { M: 16, N: 16, K: 16, componentType: 'f16', resultComponentType: 'f32' },
  { M: 16, N: 8, K: 16, componentType: 'f16', resultComponentType: 'f16' },
])('the kernel that multiplies $M x $K by $K x $N matrices at once is valid WGSL', async (shape) => {
  for (const [name, value] of Object.entries(globals)) Object.assign(globalThis, { [name]: value });
  const gpu = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']);
  const adapter = await gpu.requestAdapter();
  const features = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'] as GPUFeatureName[];
  const device = (await adapter?.requestDevice({ requiredFeatures: features })) as GPUDevice;
  const messagesOf = async (code: string) => {
    device.pushErrorScope('validation');
    const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
    await device.popErrorScope();
    return messages.filter(({ type }) => type === 'error').map(({ message }) => message);
  };
  const text = matrixUnitText(shape, 32);
  expect(await messagesOf(text)).toEqual([]);
  // Else nothing was checked.
  expect(await messagesOf(text.replace('subgroup_matrix_left<f16', 'subgroup_matrix_left<f32'))).not.toEqual(
    [],
  );
  expect(matrixUnitTile(shape)).toEqual([8 * shape.M, 8 * shape.N]);
  device.destroy();
});
