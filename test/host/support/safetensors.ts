import { readFileSync, writeFileSync } from 'node:fs';

/** A float32 tensor of a safetensors file, read here without the code under test. */
export interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

interface Entry {
  readonly dtype: string;
  readonly shape: number[];
  readonly data_offsets: [number, number];
}

function headerOf(bytes: Buffer): { readonly entries: Record<string, Entry>; readonly start: number } {
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString('utf8')) as Record<string, Entry>;
  delete header.__metadata__;
  return { entries: header, start: 8 + length };
}

export function readTensors(path: string): Tensor[] {
  const bytes = readFileSync(path);
  const { entries, start } = headerOf(bytes);
  return Object.entries(entries).map(
    ([
      name,
      {
        shape,
        data_offsets: [begin, end],
      },
    ]) => ({
      ...{ name, shape },
      values: new Float32Array(new Uint8Array(bytes.subarray(start + begin, start + end)).buffer),
    }),
  );
}

/** Copies a file with some values of its tensors changed. */
export function writeChanged(
  from: string,
  to: string,
  change: (name: string, values: Float32Array) => void,
): void {
  const bytes = readFileSync(from);
  const { entries, start } = headerOf(bytes);
  for (const { name, values } of readTensors(from)) {
    change(name, values);
    Buffer.from(values.buffer).copy(bytes, start + entries[name].data_offsets[0]);
  }
  writeFileSync(to, bytes);
}
