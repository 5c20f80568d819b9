import { SHORT_CONVOLUTIONS } from '../../wasm/assembly/short-convolutions.mjs';
import { axisTransformText } from './axis-transform-text';
import { filterGradientText } from './filter-gradient-text';
import { gatherProductText } from './gather-product-text';
import { TILES } from './gemm-choice';
import { MATRIX_TILE_NAMES, SUBGROUP_MATRICES, matrixProduct, type MatrixUnit } from './matrix-product';
import { registerProduct, type LeftLayout, type TileProduct } from './tile-product';

/** Of NVIDIA's kind. */
const UNIT: MatrixUnit = { element: 'f16', m: 16, n: 16, k: 16, subgroup: 32 };

/** The texts of the kernels that plans choose among: where they change, timings of before do not count. */
export function kernelTexts(): string {
  const products = (layout: LeftLayout): TileProduct[] => [
    ...Object.values(TILES).map((tile) => registerProduct(tile, 'f32', layout)),
    ...MATRIX_TILE_NAMES.map((name) => matrixProduct(UNIT, name, 1, SUBGROUP_MATRICES, layout)),
  ];
  return [
    ...products('rows').flatMap((product) =>
      [true, false].map((byTap) =>
        gatherProductText({ byTap, vectorColumns: true, classes: 1, operands: 'f32' }, product),
      ),
    ),
    ...products('depth').map((product) =>
      filterGradientText({ vectorRows: true, vectorColumns: true, operands: 'f32' }, product),
    ),
    ...SHORT_CONVOLUTIONS.map(({ data }) =>
      axisTransformText({ kind: 'gather', matrices: [data, data, data] }),
    ),
  ].join('\n');
}
