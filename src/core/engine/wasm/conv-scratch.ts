import type { ConvGeometry, ConvPass } from './conv-geometry';
import { mayChoose, tileSizeOf, type Algorithm } from './conv-plan';
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
  const size = tileSizeOf(algorithm);
  return size
    ? tiledScratchBytes(pass, g, size, threads, panel)
    : directScratchBytes(pass, g, algorithm === 'folded', threads, panel);
}

/** The most working memory that a convolution takes, by whichever algorithm a plan may choose or time. */
export function scratchBytes(pass: ConvPass, g: ConvGeometry, options: ScratchOptions): number {
  return Math.max(...mayChoose(pass, g).map((algorithm) => scratchBytesBy(algorithm, pass, g, options)));
}
