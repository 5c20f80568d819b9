import type { Triple } from '../engine/ops/kernels';

/** Where a network strides and dilates. Triples are D, H, W. */
export interface Geometry {
  readonly stem: { readonly size: number; readonly stride: Triple };
  /** 3x3x3 max pooling of stride 2 behind the stem. */
  readonly pool: boolean;
  /** Per stage, layer1 to layer4. */
  readonly strides: readonly [number, number, number, number];
  readonly dilations: readonly [number, number, number, number];
  /** Channels per stage at width 1, before a bottleneck's expansion. */
  readonly planes: readonly [number, number, number, number];
}

const PLANES = [64, 128, 256, 512] as const;
const UNDILATED = [1, 1, 1, 1] as const;

export const GEOMETRIES = {
  /** As the study's readers describe it (Lasagni et al. 2025). */
  paper: {
    stem: { size: 7, stride: [1, 2, 2] },
    pool: true,
    strides: [1, 2, 2, 2],
    dilations: UNDILATED,
    planes: PLANES,
  },
  /** Med3D (Chen et al. 2019): total stride 8, the last two stages dilated instead of strided. */
  medicalnet: {
    stem: { size: 7, stride: [2, 2, 2] },
    pool: true,
    strides: [1, 2, 1, 1],
    dilations: [1, 1, 2, 4],
    planes: PLANES,
  },
  /** What MONAI builds by default. */
  monai: {
    stem: { size: 7, stride: [1, 1, 1] },
    pool: true,
    strides: [1, 2, 2, 2],
    dilations: UNDILATED,
    planes: PLANES,
  },
  /** For grids of about 48x60x48: total stride 8 without pooling, so that layer4 still sees 6x8x6 places. */
  compact: {
    stem: { size: 5, stride: [2, 2, 2] },
    pool: false,
    strides: [2, 2, 1, 1],
    dilations: UNDILATED,
    planes: [64, 128, 256, 256],
  },
} as const satisfies Record<string, Geometry>;

export type GeometryName = keyof typeof GEOMETRIES;
