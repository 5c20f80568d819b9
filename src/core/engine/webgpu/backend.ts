import * as tf from '@tensorflow/tfjs-core';
import { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import { BufferPool } from './buffer-pool';
import type { GpuDevice } from './device';

/** tfjs's own name for it: its kernels are registered under it, and ours beside them. */
export const BACKEND_NAME = 'webgpu';

/** What a tensor on the GPU lies in. */
const TENSOR_USAGE = () => GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;

/** tfjs's flag: commands are sent after so many. */
const SUBMIT_BATCH = 'WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE';

/** A kernel's program: WGSL with its tensors at group 0, binding 0, 1, …, and its uniform, if any, behind them. */
export interface GpuProgram {
  /** The same for the same source and constants. */
  readonly key: string;
  readonly wgsl: () => string;
  readonly constants?: Readonly<Record<string, number>>;
  readonly entryPoint?: string;
  /** It reads tensors that lie in half precision as they do: see {@link GpuBackend.halfOutput}. */
  readonly readsHalves?: boolean;
}

type Workgroups = readonly [x: number, y?: number, z?: number];

/** tfjs-core's tensors on the GPU. They can be read asynchronously only. */
export class GpuBackend extends WebGPUBackend {
  readonly pool: BufferPool;
  private rehearsing = false;
  private readonly fallbacks = new Set<string>();
  private readonly halves = new WeakSet<object>();
  private readonly pipelines = new Map<string, GPUComputePipeline>();

  /**
   * @param onFallback hears once by name of kernels of ours that are composed of tfjs's
   * @param memory bytes that may be taken
   */
  constructor(
    readonly gpu: GpuDevice,
    private readonly onFallback?: (kernel: string) => void,
    memory?: number,
  ) {
    super(gpu.device, gpu.adapterInfo);
    this.pool = new BufferPool(gpu.device, () => this.flush(), memory);
    // tfjs's own keeps every buffer of every size for ever. It asks for these methods and numbers alone.
    this.bufferManager = this.pool as unknown as WebGPUBackend['bufferManager'];
  }

  /** An operation was composed of tfjs's stock kernels, for there is none of ours. */
  fallsBack(kernel: string): void {
    if (this.fallbacks.has(kernel)) return;
    this.fallbacks.add(kernel);
    this.onFallback?.(kernel);
  }

  /** A tensor of undefined contents on the GPU, for a kernel to fill. */
  output(shape: readonly number[], dtype: tf.DataType): tf.TensorInfo {
    const info = this.makeTensorInfo([...shape], dtype);
    this.uploadToGPU(info.dataId);
    return info;
  }

  /**
   * As {@link output}, in half precision: 2 bytes a number, of which there is a multiple of four. Only programs that say so may
   * read it.
   */
  halfOutput(shape: readonly number[]): tf.TensorInfo {
    const info = this.makeTensorInfo([...shape], 'float32');
    const bytes = 2 * tf.util.sizeFromShape([...shape]);
    this.tensorMap.get(info.dataId).resource = this.pool.acquireBuffer(bytes, TENSOR_USAGE());
    this.halves.add(info.dataId);
    return info;
  }

  /** Whether a tensor lies in half precision. */
  inHalves({ dataId }: tf.TensorInfo): boolean {
    return this.halves.has(dataId);
  }

  private requireSingle(by: string, inputs: readonly (tf.TensorInfo | GPUBuffer)[]): void {
    if (inputs.some((one) => 'dataId' in one && this.inHalves(one)))
      throw new Error(`${by} cannot read a tensor that lies in half precision.`);
  }

  /** Where a tensor's numbers lie, 4 bytes each (2 in half precision). The buffer may be larger than the tensor. */
  buffer(x: tf.TensorInfo): GPUBuffer {
    this.uploadToGPU(x.dataId);
    return this.tensorMap.get(x.dataId).resource as GPUBuffer;
  }

  /**
   * Records one dispatch; the GPU runs it behind all that was recorded before. Several commands are submitted at once.
   * @param buffers tensors, or buffers of {@link scratch}
   * @param uniform read by the program as `var<uniform>` behind the buffers
   */
  dispatch(
    program: GpuProgram,
    buffers: readonly (tf.TensorInfo | GPUBuffer)[],
    workgroups: Workgroups,
    uniform?: ArrayBuffer,
  ): void {
    if (!program.readsHalves) this.requireSingle(program.key, buffers);
    if (this.rehearsing) return;
    const pipeline = this.pipelineOf(program);
    const bound = buffers.map((one) => (one instanceof GPUBuffer ? one : this.buffer(one)));
    if (uniform) bound.push(this.uniformOf(uniform));
    const bindGroup = this.device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: bound.map((buffer, binding) => ({ binding, resource: { buffer } })),
    });
    this.ensureCommandEncoderReady();
    this['computePassEncoder'] ??= this['commandEncoder'].beginComputePass();
    const pass = this['computePassEncoder'];
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(workgroups[0], workgroups[1] ?? 1, workgroups[2] ?? 1);
    this['dispatchCountInPass']++;
    if (this['dispatchCountInPass'] >= tf.env().getNumber(SUBMIT_BATCH)) this.flush();
  }

  /**
   * Does work whose commands are not recorded: tensors come and go as ever and hold nothing. So a step can be gone through,
   * to see what it needs, without any parameter being changed.
   */
  async rehearse(work: () => Promise<void>): Promise<void> {
    this.rehearsing = true;
    try {
      await work();
    } finally {
      this.rehearsing = false;
    }
  }

  /** tfjs's own kernels are not recorded in a rehearsal either. */
  override runWebGPUProgram(
    ...[program, inputs, outputDtype, uniforms, given]: Parameters<WebGPUBackend['runWebGPUProgram']>
  ): tf.TensorInfo {
    this.requireSingle(program.constructor.name, inputs);
    if (this.rehearsing) return given ?? this.output(program.outputShape, outputDtype);
    return super.runWebGPUProgram(program, inputs, outputDtype, uniforms, given);
  }

  /**
   * Milliseconds that the GPU takes for what `work` records, by its own clock where it has one that can be asked, else from
   * sending to done. Nothing else may be recorded meanwhile.
   */
  async timed(work: () => void): Promise<number> {
    this.flush();
    await this.queue.onSubmittedWorkDone();
    const clock = this.gpu.report.features.includes('timestamp-query') ? this.startClock() : undefined;
    const start = performance.now();
    const batch = tf.env().getNumber(SUBMIT_BATCH);
    tf.env().set(SUBMIT_BATCH, Infinity);
    try {
      work();
    } finally {
      tf.env().set(SUBMIT_BATCH, batch);
    }
    const byGpu = clock && (await clock());
    if (byGpu !== undefined) return byGpu;
    this.flush();
    await this.queue.onSubmittedWorkDone();
    this.gpu.requireSound();
    return performance.now() - start;
  }

  /** Begins a pass that writes its times down. @returns what ends and reads it: undefined where the pass was cut short */
  private startClock(): () => Promise<number | undefined> {
    const times = this.device.createQuerySet({ type: 'timestamp', count: 2 });
    this.ensureCommandEncoderReady();
    const pass = this['commandEncoder'].beginComputePass({
      timestampWrites: { querySet: times, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 },
    });
    this['computePassEncoder'] = pass;
    return async () => {
      try {
        // Memory that ran short had what was recorded sent before its end.
        if (this['computePassEncoder'] !== pass) return undefined;
        this.endComputePassEncoder();
        const written = this.pool.acquireBuffer(16, GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC);
        try {
          this['commandEncoder'].resolveQuerySet(times, 0, 2, written, 0);
          const [from, to] = new BigUint64Array(await this.download(written, 16));
          this.gpu.requireSound();
          return Number(to - from) / 1e6;
        } finally {
          this.pool.releaseBuffer(written);
        }
      } finally {
        times.destroy();
      }
    };
  }

  /** Lends a buffer to work that records commands; behind them it may be given to others. */
  scratch<T>(bytes: number, work: (buffer: GPUBuffer) => T): T {
    const buffer = this.pool.acquireBuffer(bytes, TENSOR_USAGE());
    try {
      return work(buffer);
    } finally {
      this.pool.releaseBuffer(buffer);
    }
  }

  /** Sends what is recorded. */
  flush(): void {
    if (!this['commandEncoder']) return;
    this.endComputePassEncoder();
    this.submitQueue();
  }

  override submitQueue(): void {
    super.submitQueue();
    this.pool.submitted();
  }

  /** The buffer goes back at once: commands that still read it run before those that will write it. */
  override disposeData(dataId: object, force = false): boolean {
    this['commandQueueOwnedIds'].delete(dataId);
    return super.disposeData(dataId, force);
  }

  override uploadToGPU(dataId: object): void {
    const data = this.tensorMap.get(dataId);
    if (data.resource) return;
    const bytes = 4 * tf.util.sizeFromShape(data.shape);
    const buffer = this.pool.acquireBuffer(bytes, TENSOR_USAGE());
    data.resource = buffer;
    if (!data.values) return;
    // Writing overtakes what is recorded but not submitted, which may still read this buffer.
    if (this.pool.mayBeRecorded(buffer)) this.flush();
    const values =
      data.dtype === 'float32' ? (data.values as Float32Array) : Int32Array.from(data.values as Int32Array);
    this.queue.writeBuffer(buffer, 0, values as Float32Array<ArrayBuffer>);
    // tfjs's type does not say so, but this is how it lets go of them.
    Object.assign(data, { values: null });
  }

  /** @throws InputError when the GPU was lost or ran out of memory before: the numbers would be none */
  override async read(dataId: object): Promise<tf.BackendValues> {
    this.gpu.requireSound();
    const { values, dtype, shape } = this.tensorMap.get(dataId);
    if (values !== null && values !== undefined) return values;
    if (dtype === 'complex64') throw new Error('The engine webgpu holds no complex numbers.');
    this.requireSingle('Reading', [{ dataId, shape, dtype }]);
    try {
      const bytes = await this.download(
        this.buffer({ dataId, shape, dtype }),
        4 * tf.util.sizeFromShape(shape),
      );
      this.gpu.requireSound();
      // Not kept: kernels that work in place would leave what is kept behind.
      return tf.util.convertBackendValuesAndArrayBuffer(bytes, dtype);
    } catch (error) {
      // The reason stands in the device; what a failed mapping says is only its consequence.
      this.gpu.requireSound();
      throw error;
    }
  }

  /** The first numbers of a tensor of floats. */
  async readStart(x: tf.TensorInfo, count: number): Promise<Float32Array> {
    const most = tf.util.sizeFromShape(x.shape);
    const bytes = await this.download(this.buffer(x), 4 * Math.min(count, most));
    this.gpu.requireSound();
    return new Float32Array(bytes);
  }

  /** Numbers that never left the processor. @throws Error for those that are on the GPU */
  override readSync(dataId: object): tf.BackendValues {
    const { values } = this.tensorMap.get(dataId);
    if (values === null || values === undefined)
      throw new Error('A tensor on the GPU can only be read asynchronously.');
    return values;
  }

  private async download(buffer: GPUBuffer, bytes: number): Promise<ArrayBuffer> {
    const staging = this.pool.acquireBuffer(bytes, GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ);
    try {
      this.ensureCommandEncoderReady();
      this.endComputePassEncoder();
      this['commandEncoder'].copyBufferToBuffer(buffer, 0, staging, 0, bytes);
      this.submitQueue();
      await staging.mapAsync(GPUMapMode.READ, 0, bytes);
      const values = staging.getMappedRange(0, bytes).slice(0);
      staging.unmap();
      return values;
    } finally {
      this.pool.releaseBuffer(staging);
    }
  }

  private pipelineOf({ key, wgsl, constants, entryPoint }: GpuProgram): GPUComputePipeline {
    let pipeline = this.pipelines.get(key);
    if (!pipeline) {
      const module = this.device.createShaderModule({ code: wgsl() });
      pipeline = this.device.createComputePipeline({
        layout: 'auto',
        compute: { module, entryPoint, constants: constants && { ...constants } },
      });
      this.pipelines.set(key, pipeline);
    }
    return pipeline;
  }

  /** Given back when what is recorded is submitted: until then another one's numbers would overtake. */
  private uniformOf(values: ArrayBuffer): GPUBuffer {
    const bytes = 16 * Math.ceil(values.byteLength / 16);
    const buffer = this.pool.acquireBuffer(bytes, GPUBufferUsage.COPY_DST | GPUBufferUsage.UNIFORM);
    this.queue.writeBuffer(buffer, 0, values);
    this['uniformPendingDisposal'].push(buffer);
    return buffer;
  }
}
