import { dirname } from 'node:path';
import * as v from 'valibot';
import { methodName } from '../../protocol/cam-method';
import { pretrainingResultsSchema } from '../../protocol/pretraining';
import { resultsSchema, type CaseResult, type Results } from '../../protocol/results';
import { InputError, messageOf } from '../errors';
import { writeWhole } from '../files/whole';
import { maskAbove } from '../volume/mask';
import { readNifti } from '../volume/nifti-read';
import { sliceMontage } from './figures/slice-montage';
import { reportPage, type CaseFigure } from './report-page';
import { selectCases } from './select-cases';

/** Reads and checks a results.json; `read` gives its text. */
export async function readResults(path: string, read: () => Promise<string>): Promise<Results> {
  let value: unknown;
  try {
    value = JSON.parse(await read());
  } catch (error) {
    throw new InputError(
      `There is no report to make: ${path} cannot be read (${messageOf(error)}). Give a finished run or experiment.`,
    );
  }
  if (v.is(pretrainingResultsSchema, value))
    throw new InputError(
      `${path} is of a pre-training, which has no page of cases and class maps: its table of Dice is in that file. Give a finished training or experiment.`,
    );
  const result = v.safeParse(resultsSchema, value);
  if (result.success) return result.output;
  const issue = result.issues[0];
  throw new InputError(`${path}: field "${v.getDotPath(issue) ?? '?'}" is not valid: ${issue.message}.`);
}

/** Writes the report as one self-contained HTML page: tables, curves, and the best and worst localised cases as pictures. */
export async function writeReport(results: Results, out: string): Promise<void> {
  const { best, worst } = selectCases(results);
  const draw = (cases: readonly CaseResult[]): Promise<CaseFigure[]> =>
    Promise.all(cases.map((one) => caseFigure(one, results)));
  await writeWhole(
    out,
    reportPage(results, { best: await draw(best), worst: await draw(worst) }, dirname(out)),
  );
}

/** One picture per class map of a case: three planes through the lesion. */
async function caseFigure(one: CaseResult, results: Results): Promise<CaseFigure> {
  const { volume: image } = await readNifti(one.image);
  const roi = one.roi === null ? undefined : maskAbove((await readNifti(one.roi)).volume, 0.5);
  const frame = one.brain === null ? undefined : maskAbove((await readNifti(one.brain)).volume, 0.5);
  const pictures = [];
  for (const map of one.maps) {
    if (map.nifti === null) continue;
    const { volume: heat } = await readNifti(map.nifti);
    const { png } = sliceMontage({ image, roi, frame, heat, heatLabel: 'heat' });
    const score =
      map.heatScore === null
        ? 'no score: the map is zero everywhere'
        : `Heat-Score ${map.heatScore.toFixed(2)}`;
    pictures.push({ png, caption: `${methodName(map.method)} at ${map.layer}: ${score}` });
  }
  const place = `fold ${one.fold + 1} of ${results.folds}`;
  const verdict = one.yPred === 1 ? 'found' : 'missed';
  const size = one.roiMl === null ? '' : `, lesion ${one.roiMl.toFixed(1)} ml`;
  return {
    title: one.participantId,
    detail: `${verdict}, p(fcd) = ${one.pFcd.toFixed(2)}${size}, ${place}`,
    pictures,
  };
}
