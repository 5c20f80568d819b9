import type { NamedTensor, TensorFile } from '../../../src/core/weights/tensors';

/** Tensors as torch_files.py prints them. */
export type Described = Record<string, { dtype: string; shape: number[]; hex: string }>;

export function bytesIn({ data }: NamedTensor): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

export function described(file: TensorFile): Described {
  return Object.fromEntries(
    [...file.tensors].map(([name, tensor]) => [
      name,
      { dtype: tensor.dtype, shape: [...tensor.shape], hex: bytesIn(tensor).toString('hex') },
    ]),
  );
}
