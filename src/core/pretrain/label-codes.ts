import type { Volume, VoxelArray } from '../volume/volume';
import type { Task } from './tasks-file';

/** No label map numbers its structures higher. */
const HIGHEST_LABEL = 65535;

/**
 * Label numbers that are in the same tasks are one thing to a network: a code. Code 0 is everything that is in none, so
 * that what lies outside of a moved grid is nothing.
 */
export class LabelCodes {
  /** Row-major [codes, tasks]: 1 where the code belongs to the task. */
  readonly members: Uint8Array;
  private readonly codeOf: Uint16Array;

  constructor(readonly tasks: readonly Task[]) {
    this.codeOf = new Uint16Array(HIGHEST_LABEL + 1);
    const rows: number[][] = [tasks.map(() => 0)];
    const known = new Map<string, number>([[rows[0].join(''), 0]]);
    for (const label of new Set(tasks.flatMap(({ labels }) => labels))) {
      const row = tasks.map(({ labels }) => (labels.includes(label) ? 1 : 0));
      let code = known.get(row.join(''));
      if (code === undefined) {
        code = rows.length;
        rows.push(row);
        known.set(row.join(''), code);
      }
      this.codeOf[label] = code;
    }
    this.members = Uint8Array.from(rows.flat());
  }

  /** Codes of a label map, voxel by voxel. */
  encode({ data }: Volume<VoxelArray>): Uint16Array {
    return Uint16Array.from(data, (label) => this.codeOf[Math.round(label)] ?? 0);
  }

  /** Voxels of every task. */
  count(codes: Uint16Array): number[] {
    const perCode = new Float64Array(this.members.length / this.tasks.length);
    for (const code of codes) perCode[code]++;
    return this.tasks.map((_, t) =>
      perCode.reduce((sum, n, code) => sum + n * this.members[code * this.tasks.length + t], 0),
    );
  }
}
