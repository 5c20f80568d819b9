import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import * as v from 'valibot';
import { resultsSchema, type Results } from '../../src/protocol/results';
import { ROOT, havePython, python, realData } from '../peers';

const scratch = mkdtempSync(join(tmpdir(), 'fcd-demo-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const heads = realData() && join(realData() as string, 'ixi2mm');

/** Runs the demo as a person would and reads what it leaves. */
function demo(name: string, args: readonly string[]): { out: string; results: Results; stdout: string } {
  const out = join(scratch, name);
  const run = spawnSync(process.execPath, [join(ROOT, 'bin', 'fcd'), 'demo', '--out', out, ...args], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  expect(run.status, run.stderr).toBe(0);
  const results = v.parse(resultsSchema, JSON.parse(readFileSync(join(out, 'results.json'), 'utf8')));
  return { out, results, stdout: run.stdout };
}

function holdsItsPromises({ out, results, stdout }: ReturnType<typeof demo>): void {
  // The clustered 95 % lower bound of out-of-fold accuracy, and the Heat-Score against its null.
  expect(results.metrics.accuracy.low).toBeGreaterThan(0.7);
  for (const map of results.maps) {
    expect(map.null?.exceeds, `${map.method} at ${map.layer}`).toBe(true);
    expect(map.heatScore.value).toBeGreaterThan(map.null?.p95 ?? Infinity);
  }
  expect(results.baseline?.metrics.accuracy.value).toBeGreaterThan(0.5);
  expect(stdout).toContain('trivial intensity baseline');
  expect(stdout).toContain('report.html');

  const page = readFileSync(join(out, 'report.html'), 'utf8');
  expect(page).toContain('For research, not for diagnosis.');
  expect(page.match(/data:image\/png;base64/g)?.length).toBe(12);
  expect(page).not.toMatch(/(src|href)="https?:/);

  for (let fold = 1; fold <= 4; fold++) {
    const run = join(out, 'runs', `fold-${fold}`);
    for (const file of ['run.json', 'events.jsonl', 'predictions.csv', 'heatscores.csv'])
      expect(existsSync(join(run, file)), join(run, file)).toBe(true);
    const patients = results.cases.filter((one) => one.fold === fold - 1 && one.yTrue === 1).length;
    const maps = readdirSync(join(run, 'cams')).filter((name) => name.endsWith('.nii.gz'));
    expect(maps).toHaveLength(patients * results.maps.length);
  }
}

/** Folds are honest: no head is on both sides of one. */
function separatesHeads(out: string, results: Results): void {
  const sourceOf = new Map(results.cases.map((one) => [one.participantId, one.source]));
  for (let fold = 1; fold <= 4; fold++) {
    const { fold: split } = JSON.parse(
      readFileSync(join(out, 'runs', `fold-${fold}`, 'run.json'), 'utf8'),
    ) as {
      fold: { train: string[]; test: string[] };
    };
    const trained = new Set(split.train.map((id) => sourceOf.get(id)));
    for (const id of split.test) expect(trained.has(sourceOf.get(id))).toBe(false);
  }
}

describe('the main job by one command', () => {
  it('finds and localises lesions of phantoms', () => {
    const made = demo('phantom', []);
    holdsItsPromises(made);
    separatesHeads(made.out, made.results);
  });

  it.skipIf(!heads)(
    'finds and localises planted lesions in real heads (skipped without the folder of real scans)',
    () => {
      const made = demo('real', ['--data', heads as string]);
      holdsItsPromises(made);
      separatesHeads(made.out, made.results);
    },
  );

  it.skipIf(!havePython('nibabel'))(
    'leaves maps that other readers place on the scan (skipped without python3-nibabel)',
    () => {
      const out = join(scratch, 'phantom');
      const results = v.parse(resultsSchema, JSON.parse(readFileSync(join(out, 'results.json'), 'utf8')));
      const one = results.cases.find((candidate) => candidate.maps.length > 0);
      if (!one) throw new Error('no case with a map');
      const said = python(
        `import sys, nibabel, numpy
image, cam = nibabel.load(sys.argv[1]), nibabel.load(sys.argv[2])
print(image.shape == cam.shape and numpy.allclose(image.affine, cam.affine), cam.get_data_dtype(), cam.get_fdata().min() >= 0)`,
        [one.image, one.maps[0].nifti as string],
      );
      expect(said.trim()).toBe('True float32 True');
    },
  );
});
