import { Gunzip } from 'fflate';
import type { ShownFile } from '../../protocol/viewer';

/** How far a file has come: bytes on the way in, of the length on disk. */
export type Arriving = (bytes: number, of: number) => void;

/**
 * Reads a file by its address and inflates it while it comes. The header says how long it is inflated, so it is written
 * into one buffer, once. Throws a sentence for a file that cannot be read, is cut off or damaged.
 */
export async function fetchVolume(
  file: ShownFile,
  arriving: Arriving,
  signal: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  let response: Response;
  try {
    response = await fetch(file.uri, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw new Error(`${file.name} could not be read: ${messageOf(error)}.`, { cause: error });
  }
  if (!response.ok || !response.body)
    throw new Error(
      `${file.name} could not be read (${response.status} ${response.statusText}). Is it still there?`,
    );
  const target = allocate(file);
  let arrived = 0;
  const counted = response.body.pipeThrough(
    new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform(chunk, controller) {
        arrived += chunk.length;
        arriving(arrived, file.fileBytes);
        controller.enqueue(chunk);
      },
    }),
  );
  const { stream, gzip } = await lookAtStart(counted, file.name);
  let filled = 0;
  try {
    filled = await fill(target, gzip ? stream.pipeThrough(new DecompressionStream('gzip')) : stream);
  } catch (error) {
    signal.throwIfAborted();
    if (!gzip) throw error;
    // The browser's inflater refuses gzip files of several members (bgzip writes them), which ours reads.
    const again = await fetch(file.uri, { signal });
    filled = inflateMembers(target, new Uint8Array(await again.arrayBuffer()), file.name, error);
  }
  if (filled < target.length)
    throw new Error(
      `${file.name} is cut off: it has ${filled} of the ${target.length} bytes that its header asks for. Copy or download it again.`,
    );
  return target;
}

/** Whether it is a gzip file, by its first bytes; the stream still begins with them. */
async function lookAtStart(
  source: ReadableStream<Uint8Array<ArrayBuffer>>,
  name: string,
): Promise<{ stream: ReadableStream<Uint8Array<ArrayBuffer>>; gzip: boolean }> {
  const reader = source.getReader();
  const first = await reader.read();
  if (first.done) throw new Error(`${name} is empty. Copy or download it again.`);
  const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start: (controller) => controller.enqueue(first.value),
    pull: async (controller) => {
      const next = await reader.read();
      if (next.done) controller.close();
      else controller.enqueue(next.value);
    },
    cancel: (reason) => reader.cancel(reason),
  });
  return { stream, gzip: first.value[0] === 0x1f && first.value[1] === 0x8b };
}

function allocate(file: ShownFile): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(file.header.totalBytes);
  } catch (error) {
    throw new Error(
      `${file.name} needs ${Math.round(file.header.totalBytes / 2 ** 20)} MB in one piece, which the view cannot have. Show a smaller part of it.`,
      { cause: error },
    );
  }
}

async function fill(target: Uint8Array, stream: ReadableStream<Uint8Array>): Promise<number> {
  const reader = stream.getReader();
  let filled = 0;
  while (filled < target.length) {
    const { done, value } = await reader.read();
    if (done) return filled;
    const part = value.subarray(0, target.length - filled);
    target.set(part, filled);
    filled += part.length;
  }
  await reader.cancel(); // what follows the voxels is not needed
  return filled;
}

function inflateMembers(
  target: Uint8Array,
  file: Uint8Array<ArrayBuffer>,
  name: string,
  first: unknown,
): number {
  let filled = 0;
  const gunzip = new Gunzip((data) => {
    const part = data.subarray(0, target.length - filled);
    target.set(part, filled);
    filled += part.length;
  });
  try {
    gunzip.push(file, true);
  } catch {
    if (filled < target.length)
      throw new Error(
        filled > 0
          ? `${name} is cut off or damaged: its gzip stream ends after ${filled} of ${target.length} bytes. Copy or download it again.`
          : `${name} is damaged: its gzip stream cannot be inflated (${messageOf(first)}). Copy or download it again.`,
        { cause: first },
      );
  }
  return filled;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
