import { memoryRules, type MemoryRules } from '../engine/memory-rules';
import type { Shape5 } from '../engine/ops/kernels';
import { geometryOfShapes, type ConvPass } from '../engine/wasm/conv-geometry';
import { valueShapes } from './flops';
import {
  innerValues,
  innerValuesFromHalves,
  inputsOf,
  pieces,
  readersOf,
  type Instruction,
  type Program,
  type ValueId,
} from './program';

/** What of a training step decides how much it holds. */
export interface StepOptions {
  /** Tensors that the optimiser keeps per parameter: SGD 1, Adam 2. */
  readonly moments: number;
  /** Gradients of several parts of a batch add up, so that two sets of them exist at once. */
  readonly accumulates: boolean;
  readonly checkpointActivations: boolean;
  /** Grids that the backward pass needs are kept in half precision. */
  readonly keepHalf?: boolean;
}

/**
 * The most bytes of the engine's memory that a training step holds at once: weights, moments, gradients, activations
 * and the working memory of convolutions, found by walking the program as {@link Pass} does.
 * @param input [N, D, H, W, C] of what is computed at once
 * @param rules of the engine that computes
 */
export function trainingBytes(
  program: Program,
  input: readonly number[],
  options: StepOptions,
  rules = memoryRules(),
): number {
  return new Walk(program, input, options, rules).step();
}

/** The same for a prediction, where activations are freed as soon as nothing ahead reads them. */
export function predictionBytes(program: Program, input: readonly number[], rules = memoryRules()): number {
  const options = { moments: 0, accumulates: false, checkpointActivations: false };
  return new Walk(program, input, options, rules).prediction();
}

/** Bytes of the largest tensor that a pass makes: some engines hold only so much in one piece. */
export function largestTensorBytes(program: Program, input: readonly number[]): number {
  const shapes = [...valueShapes(program, input).values(), ...program.parameters.map(({ shape }) => shape)];
  return Math.max(...shapes.map((shape) => shape.reduce((product, n) => product * n, 4)));
}

class Walk {
  private readonly shapes: Map<ValueId, readonly number[]>;
  private readonly readers: Map<ValueId, number[]>;
  private readonly filters: ReadonlyMap<string, readonly number[]>;
  private readonly held = new Map<ValueId, number>();
  private readonly halved = new Set<ValueId>();
  private live = 0;
  private peak = 0;

  constructor(
    private readonly program: Program,
    input: readonly number[],
    private readonly options: StepOptions,
    private readonly rules: MemoryRules,
  ) {
    this.shapes = valueShapes(program, input);
    this.readers = readersOf(program);
    this.filters = new Map(program.parameters.map(({ name, shape }) => [name, shape]));
    this.take(this.bytes(0));
  }

  prediction(): number {
    this.take(this.parameterBytes() + this.runningBytes());
    this.forward(() => false);
    return this.peak;
  }

  step(): number {
    const { moments, accumulates, checkpointActivations, keepHalf } = this.options;
    const parameters = this.parameterBytes();
    this.take(parameters * (1 + moments + (accumulates ? 1 : 0)) + this.runningBytes());
    const inner = (keepHalf ? innerValuesFromHalves : innerValues)(this.program);
    this.forward((id) => !(checkpointActivations && inner.has(id)));
    this.backward();
    return this.peak;
  }

  private forward(keeps: (id: ValueId) => boolean): void {
    this.program.instructions.forEach((step, index) => {
      this.compute(step, keeps(step.from));
      for (const id of inputsOf(step))
        if (id !== 0 && this.readers.get(id)?.at(-1) === index)
          if (keeps(id)) this.halve(id);
          else this.drop(id);
    });
  }

  /** A kept value is copied to half precision, and what it was is given back. */
  private halve(id: ValueId): void {
    const shape = this.shapes.get(id) ?? [];
    const own = this.held.get(id) ?? 0;
    if (!this.options.keepHalf || shape.length !== 5 || shape[4] % 4 !== 0 || own === 0) return;
    const half = this.rules.tensor(this.bytes(id) / 2);
    this.take(half);
    this.give(own);
    this.held.set(id, half);
    this.halved.add(id);
  }

  /** Makes a step's value; a normalisation works in the memory of what nobody needs any more. */
  private compute(step: Instruction, keepsInput: boolean): void {
    const inPlace = step.op === 'norm' && !step.pool && !keepsInput && this.isReadOnce(step.from);
    const bytes = this.bytes(step.to);
    if (inPlace) {
      this.held.set(step.to, bytes);
      this.held.set(step.from, 0);
      return;
    }
    this.take(bytes);
    this.held.set(step.to, bytes);
    if (step.op === 'conv') this.work(this.convBytes('y', step));
    // Positions of the maxima.
    if (step.op === 'maxpool' || (step.op === 'norm' && step.pool)) this.take(bytes);
  }

  private backward(): void {
    const { instructions } = this.program;
    const piece = pieces(this.program);
    const gradients = new Map<ValueId, number>([[instructions[instructions.length - 1].to, 0]]);
    /** A gradient arrives: in new memory, or in what already belonged to somebody (`taken` is 0). */
    const arrive = (id: ValueId, bytes: number) => {
      if (id === 0) return this.give(bytes);
      if (gradients.has(id)) this.give(bytes);
      else gradients.set(id, bytes);
    };
    for (let i = instructions.length - 1; i >= 0; i--) {
      const step = instructions[i];
      if (piece[i] !== piece[i + 1])
        for (const other of instructions.slice(piece.indexOf(piece[i]), i + 1))
          if (!this.held.has(other.to)) this.compute(other, true);
      const dy = gradients.get(step.to);
      if (dy === undefined) throw new Error(`No gradient reaches ${step.name}.`);
      gradients.delete(step.to);
      if (step.op === 'conv') {
        this.take(this.filterBytes(step.name));
        this.work(this.convBytes('dfilter', step));
        if (step.from !== 0) {
          this.take(this.bytes(step.from));
          this.work(this.convBytes('dx', step));
          arrive(step.from, this.bytes(step.from));
        }
        this.give(dy);
      } else if (step.op === 'norm') {
        // In half precision its memory is too small for the gradient.
        const inPlace = this.isReadOnce(step.from) && !this.halved.has(step.from);
        const own = inPlace ? (this.held.get(step.from) ?? 0) : this.bytes(step.from);
        if (inPlace) this.held.set(step.from, 0);
        else this.take(own);
        if (step.residual === undefined) this.give(dy);
        else arrive(step.residual, dy);
        arrive(step.from, own);
        if (step.pool) this.give(this.bytes(step.to));
      } else if (step.op !== 'subsample' || !step.detached) {
        this.take(this.bytes(step.from));
        arrive(step.from, this.bytes(step.from));
        this.give(dy);
      } else this.give(dy);
      this.drop(step.to);
    }
  }

  private isReadOnce(id: ValueId): boolean {
    return id !== 0 && this.readers.get(id)?.length === 1;
  }

  private bytes(id: ValueId): number {
    return this.rules.tensor((this.shapes.get(id) ?? []).reduce((product, n) => product * n, 4));
  }

  private filterShape(name: string): readonly number[] {
    const shape = this.filters.get(`${name}.weight`);
    if (!shape) throw new Error(`${name} has no filter.`);
    return shape;
  }

  private filterBytes(name: string): number {
    return this.rules.tensor(this.filterShape(name).reduce((product, n) => product * n, 4));
  }

  /** Working memory of a convolution, whichever algorithm the engine's plan chooses. */
  private convBytes(pass: ConvPass, step: Instruction & { op: 'conv' }): number {
    const [o, i, ...kernel] = this.filterShape(step.name);
    const y = this.shapes.get(step.to) as Shape5;
    const geometry = geometryOfShapes(this.shapes.get(step.from) ?? [], [...kernel, i, o], y, step.attrs);
    return this.rules.convolution(pass, geometry, this.halved.has(step.from));
  }

  private parameterBytes(): number {
    return this.program.parameters.reduce(
      (sum, { shape }) => sum + this.rules.tensor(shape.reduce((product, n) => product * n, 4)),
      0,
    );
  }

  /** Mean and variance of every batch normalisation. */
  private runningBytes(): number {
    return [...this.program.norms].reduce(
      (sum, [, channels]) => sum + 2 * this.rules.tensor(4 * channels),
      0,
    );
  }

  private take(bytes: number): void {
    this.live += bytes;
    this.peak = Math.max(this.peak, this.live);
  }

  private give(bytes: number): void {
    this.live -= bytes;
  }

  private work(bytes: number): void {
    this.peak = Math.max(this.peak, this.live + bytes);
  }

  private drop(id: ValueId): void {
    this.give(this.held.get(id) ?? 0);
    this.held.delete(id);
    this.halved.delete(id);
  }
}
