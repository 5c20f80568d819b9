import { makePhantomHead, phantomGrid, type PhantomHead } from '../../../src/core/cohort/phantom/head';
import { LABEL } from '../../../src/core/cohort/phantom/structures';
import type { RealHead } from '../../../src/core/cohort/plant/real-heads';

/** MUSE numbers, right and left, of what the phantom draws; everything outside of the brain has none, CSF has 1. */
const MUSE: readonly (readonly [number, number, number])[] = [
  [LABEL['cerebrospinal fluid'], 1, 1],
  [LABEL['frontal cortex'], 190, 191],
  [LABEL['parietal cortex'], 198, 199],
  [LABEL['temporal cortex'], 200, 201],
  [LABEL['occipital cortex'], 156, 157],
  [LABEL['insular cortex'], 102, 103],
  [LABEL['cerebral white matter'], 81, 82],
  [LABEL['internal capsule'], 93, 94],
  [LABEL['corpus callosum'], 95, 95],
  [LABEL['lateral ventricles'], 51, 52],
  [LABEL['third ventricle'], 4, 4],
  [LABEL['fourth ventricle'], 11, 11],
  [LABEL.caudate, 36, 37],
  [LABEL.putamen, 57, 58],
  [LABEL.pallidum, 55, 56],
  [LABEL.thalamus, 59, 60],
  [LABEL.hippocampus, 47, 48],
  [LABEL.amygdala, 31, 32],
  [LABEL.brainstem, 35, 35],
  [LABEL['cerebellar cortex'], 38, 39],
  [LABEL['cerebellar white matter'], 40, 41],
];

/** A phantom with MUSE labels: stands in for a real head where there is none. */
export function madeUpHead(
  subject: number,
  size = 72,
): { head: RealHead; phantom: PhantomHead; labels: Uint8Array } {
  const { shape, spacing } = phantomGrid(size);
  const phantom = makePhantomHead({ seed: 21, subject, shape, spacing });
  const table = new Map(MUSE.map(([number, right, left]) => [number, [left, right]]));
  const labels = phantom.labels.data.map(
    (number, v) => table.get(number)?.[Number(v % shape[0] >= shape[0] / 2)] ?? 0,
  );
  // A little smaller than it is drawn, so that no copy has to be shrunk to fit the field of view.
  const voxel = 0.88 * spacing;
  const head: RealHead = {
    shape,
    voxelSize: [voxel, voxel, voxel],
    t1w: phantom.t1w.data.map((value) => value / 1000),
    labels,
    brain: Int32Array.from([...labels.keys()].filter((v) => labels[v] > 1)),
  };
  return { head, phantom, labels };
}
