import { recogniseNetwork } from '../../core/model/recognise';
import { describeSpec } from '../../core/model/spec';
import {
  examineImport,
  importWeights as importFile,
  type ImportPlan,
} from '../../core/transfer/import-weights';
import { withWeights } from '../../core/weights/read-weights';
import type { ComputeParams, ComputeResult } from '../../protocol/compute';
import type { Job } from '../job';
import { hashOf } from './checkpoint';

/** What importing a file would come to; nothing is written. */
export async function planImport(
  { path, geometry, axes }: ComputeParams<'planImport'>,
  job: Job,
): Promise<ComputeResult<'planImport'>> {
  const request = { path, given: given(geometry, axes), acceptDefaults: true };
  return message(path, await examineImport(request, (file) => hashOf(file, job)));
}

/** Writes the checkpoint, whole or not at all. */
export async function importWeights(
  { path, out, geometry, axes }: ComputeParams<'importWeights'>,
  job: Job,
): Promise<ComputeResult<'importWeights'>> {
  job.say('Reading the weights');
  const result = await importFile(
    { path, out, given: given(geometry, axes), acceptDefaults: true },
    async (done, total) => {
      job.say('Writing the checkpoint', done / total);
      await job.breathe();
    },
    (file) => hashOf(file, job),
  );
  return message(path, result);
}

function given(
  geometry: ComputeParams<'planImport'>['geometry'],
  axes: ComputeParams<'planImport'>['axes'],
): Parameters<typeof examineImport>[0]['given'] {
  return { ...(geometry === undefined ? {} : { geometry }), ...(axes === undefined ? {} : { axes }) };
}

async function message(
  path: string,
  { spec, record, report, warnings }: ImportPlan,
): Promise<ComputeResult<'planImport'>> {
  const { geometries } = await withWeights(path, async ({ tensors }) => recogniseNetwork(tensors));
  return {
    title: describeSpec(spec),
    geometry: spec.geometry,
    axes: spec.axes,
    geometries: [...geometries],
    trainedBy: record.trained.by,
    sha256: record.sha256,
    registry: record.registry,
    loaded: [...report.loaded],
    missing: [...report.missing],
    unexpected: [...report.unexpected],
    mismatched: report.mismatched.map(({ name, expected, found }) => ({
      ...{ name, expected: [...expected], found: [...found] },
    })),
    prefixes: [...report.prefixStripped],
    changes: [...record.changes],
    warnings: [...warnings],
  };
}
