import type { ConvGeometry, ConvPass } from './conv-geometry';
import { estimatedBest, tileSizeOf, type Algorithm } from './conv-plan';
import { depthScratchBytes } from './depth-convolution';
import { directScratchBytes } from './direct-convolution';
import { tiledScratchBytes } from './tiled-convolution';

/** What decides how much memory a convolution works with, beside its shape. */
export interface ScratchOptions {
  readonly threads: number;
  /** Output channels per panel of packed weights (Machine.panel); the widest unless it is known. */
  readonly panel?: number;
}

const WIDEST_PANEL = 16;

/** Bytes of working memory of one algorithm. */
export function scratchBytesBy(
  algorithm: Algorithm,
  pass: ConvPass,
  g: ConvGeometry,
  { threads, panel = WIDEST_PANEL }: ScratchOptions,
): number {
  if (algorithm === 'depth') return depthScratchBytes(pass, g, threads, panel);
  const size = tileSizeOf(algorithm);
  return size
    ? tiledScratchBytes(pass, g, size, threads, panel)
    : directScratchBytes(pass, g, algorithm === 'folded', threads, panel);
}

/**
 * Working memory of a convolution by the algorithm that a plan chooses where nothing was timed. Others may take more or
 * less; those that do not fit are not timed.
 */
export function scratchBytes(pass: ConvPass, g: ConvGeometry, options: ScratchOptions): number {
  return scratchBytesBy(estimatedBest(pass, g), pass, g, options);
}
