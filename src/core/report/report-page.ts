import { relative } from 'node:path';
import { methodName } from '../../protocol/cam-method';
import type { MapResult, MetricRecord, Results } from '../../protocol/results';
import { curvesSvg } from './curves-svg';
import { STYLE } from './style';

export interface CaseFigure {
  readonly title: string;
  readonly detail: string;
  readonly pictures: readonly { readonly png: Uint8Array; readonly caption: string }[];
}

const METRICS: Record<keyof Results['metrics'], string> = {
  accuracy: 'Accuracy',
  balancedAccuracy: 'Balanced accuracy',
  sensitivity: 'Sensitivity',
  specificity: 'Specificity',
  f1: 'F1',
  auc: 'AUC',
};

/** The report as one self-contained HTML page. Links to maps are relative to `folder`. */
export function reportPage(
  results: Results,
  figures: { readonly best: readonly CaseFigure[]; readonly worst: readonly CaseFigure[] },
  folder: string,
): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(results.title)} - FCD Lens</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<p class="brand">FCD Lens</p>
<h1>${escape(results.title)}</h1>
<p>${escape(results.network)}, ${escape(results.modality)}, ${scope(results)} ${counted(results.cohort.patients, 'patient')} and ${counted(results.cohort.controls, 'control')} (${counted(results.cohort.sources, 'head')}).</p>
<p class="warning">For research, not for diagnosis.</p>
</header>
<main>
${headline(results)}
${notes(results)}
<section>
<h2>Telling patients from controls</h2>
${metricsTable(results)}
<p class="hint">Every case is predicted by a network that never saw its head. Brackets: 95 % interval, resampled by head.${baselineHint(results)}</p>
</section>
<section>
<h2>How much of the evidence lies on the lesion</h2>
${mapsTable(results)}
<p class="hint">Heat-Score roi/brain: mean of the class map over the lesion, divided by its mean over the brain (mask: ${escape(results.brainMask)}); chance is 1. The map belongs to the class fcd, after ReLU, never rescaled. The null permutes lesion masks among heads and mirrors them; the untrained network has the same architecture and random weights, another one in every fold. The formula is our reading of the study (Lasagni et al. 2025), which did not publish its own.</p>
</section>
${figureSection('Found and best localised', figures.best)}
${figureSection('Worst localised', figures.worst)}
<section>
<h2>Learning</h2>
${curvesSvg(results.curves)}
<p class="hint">Training loss per epoch, one line per fold${results.curves.some(({ validationLoss }) => validationLoss.some((loss) => loss !== null)) ? '; dashed: validation' : ''}. ${escape(results.training)}.</p>
</section>
<section>
<h2>Every case</h2>
${casesTable(results, folder)}
</section>
<section>
<h2>How it was made</h2>
${provenance(results)}
</section>
</main>
</body>
</html>
`;
}

/** What the figures are over: all folds, or the one that a single run held out. */
function scope({ folds, curves }: Results): string {
  if (folds === 1) return 'one fit over';
  if (curves.length > 1) return `${folds}-fold cross-validation over`;
  return `fold ${curves[0].fold + 1} of ${folds}, held-out:`;
}

function counted(n: number, thing: string): string {
  return `${n} ${thing}${n === 1 ? '' : 's'}`;
}

function headline(results: Results): string {
  const { accuracy } = results.metrics;
  const [map] = results.maps;
  const cards = [card('Accuracy', number(accuracy.value, 3), interval(accuracy))];
  if (results.baseline)
    cards.push(
      card(
        'Trivial intensity baseline',
        number(results.baseline.metrics.accuracy.value, 3),
        interval(results.baseline.metrics.accuracy),
      ),
    );
  if (map) {
    cards.push(
      card(
        `Heat-Score, ${methodName(map.method)} ${map.layer}`,
        number(map.heatScore.value, 2),
        interval(map.heatScore),
      ),
    );
    if (map.null)
      cards.push(
        card(
          '95th percentile of its null',
          number(map.null.p95, 2),
          map.null.exceeds ? 'the score lies above it' : 'the score does NOT lie above it',
        ),
      );
  }
  return `<div class="cards">${cards.join('')}</div>`;
}

function card(name: string, value: string, below: string): string {
  return `<div class="card"><span>${escape(name)}</span><strong>${value}</strong><small>${escape(below)}</small></div>`;
}

function notes(results: Results): string {
  if (results.notes.length === 0) return '';
  return `<section class="notes">${results.notes.map((note) => `<p>${escape(note)}</p>`).join('')}</section>`;
}

function metricsTable({ metrics, baseline }: Results): string {
  const rows = (Object.keys(METRICS) as (keyof typeof METRICS)[]).map((name) => {
    const cells = [metrics[name], ...(baseline ? [baseline.metrics[name]] : [])].map(
      (metric) =>
        `<td class="number" title="${escape(metric.note ?? '')}">${number(metric.value, 3)} <small>${interval(metric)}</small></td>`,
    );
    return `<tr><th>${METRICS[name]}</th>${cells.join('')}<td class="number">${metrics[name].n}</td></tr>`;
  });
  const header = `<th></th><th>Network</th>${baseline ? '<th>Trivial intensity baseline</th>' : ''}<th>n</th>`;
  return `<table><thead><tr>${header}</tr></thead><tbody>${rows.join('')}</tbody></table>`;
}

function baselineHint({ baseline }: Results): string {
  if (!baseline) return '';
  return ` The baseline asks no network: the brightest place of the image after smoothing (${baseline.smoothingMm} mm) and z-scoring, with a threshold from the training folds. What it reaches shows how much of the task brightness alone solves.`;
}

function mapsTable({ maps }: Results): string {
  if (maps.length === 0)
    return '<p>No patient with a lesion mask was in a test fold: there is nothing to score.</p>';
  const rows = maps.map((map) => {
    const { companions } = map;
    return `<tr><th>${escape(methodName(map.method))} at ${escape(map.layer)} <small>${escape(map.align)}</small></th>
<td class="number">${number(map.heatScore.value, 2)} <small>${interval(map.heatScore, 2)}</small></td>
<td class="number">${nullCell(map)}</td>
<td class="number">${untrainedCell(map)}</td>
<td class="number">${map.heatScore.n}${map.zeroMaps > 0 ? ` <small>(+ ${map.zeroMaps} all-zero)</small>` : ''}</td>
<td class="number">${percent(companions.massFraction)} <small>of ${percent(companions.volumeFraction)} volume</small></td>
<td class="number">${percent(companions.pointing5mm)}</td>
<td class="number">${number(companions.auroc, 2)}</td>
<td class="number">${number(companions.topDice, 2)}</td></tr>`;
  });
  return `<table><thead><tr><th>Map</th><th>Heat-Score</th><th>Null: 95th percentile, p</th><th>Untrained network</th><th>n</th><th>Heat in the lesion</th><th>Peak within 5 mm</th><th>Voxel AUROC</th><th>Dice of top voxels</th></tr></thead><tbody>${rows.join('')}</tbody></table>`;
}

function untrainedCell({ untrained }: MapResult): string {
  if (!untrained) return '-';
  return `${number(untrained.value, 2)} <small>${interval(untrained, 2)}</small>`;
}

function nullCell(map: MapResult): string {
  if (!map.null) return '-';
  const p = map.null.p < 0.001 ? 'p &lt; 0.001' : `p = ${map.null.p.toFixed(3)}`;
  return `${map.null.p95.toFixed(2)} <small>${p}, ${map.null.exceeds ? 'above' : '<b>not above</b>'}</small>`;
}

function figureSection(title: string, figures: readonly CaseFigure[]): string {
  if (figures.length === 0) return '';
  const body = figures.map(
    ({ title: name, detail, pictures }) =>
      `<article class="case"><h3>${escape(name)} <small>${escape(detail)}</small></h3>${pictures
        .map(
          ({ png, caption }) =>
            `<figure><img alt="${escape(`${name}, ${caption}`)}" src="data:image/png;base64,${Buffer.from(png).toString('base64')}"><figcaption>${escape(caption)}</figcaption></figure>`,
        )
        .join('')}</article>`,
  );
  return `<section><h2>${title}</h2><p class="hint">Three planes through the lesion (outline); colour: the class map from 0 to its own maximum.</p>${body.join('')}</section>`;
}

function casesTable(results: Results, folder: string): string {
  const rows = results.cases.map((one) => {
    const maps = one.maps
      .map((map) => {
        const text = map.heatScore === null ? 'zero map' : map.heatScore.toFixed(2);
        return map.nifti === null ? text : `<a href="${encodeURI(relative(folder, map.nifti))}">${text}</a>`;
      })
      .join(' / ');
    const right = one.yTrue === one.yPred;
    return `<tr><td>${escape(one.participantId)}</td><td>${escape(one.source)}</td><td class="number">${one.fold + 1}</td><td>${one.yTrue ? 'fcd' : 'control'}</td><td class="${right ? 'right' : 'wrong'}">${one.yPred ? 'fcd' : 'control'}</td><td class="number">${one.pFcd.toFixed(3)}</td><td class="number">${one.roiMl === null ? '' : one.roiMl.toFixed(1)}</td><td class="number">${maps}</td></tr>`;
  });
  const names = results.maps.map((map) => `${methodName(map.method)} ${map.layer}`).join(' / ');
  return `<details><summary>${results.cases.length} cases</summary><table><thead><tr><th>Case</th><th>Head</th><th>Fold</th><th>Is</th><th>Predicted</th><th>p(fcd)</th><th>Lesion, ml</th><th>Heat-Score ${escape(names)}</th></tr></thead><tbody>${rows.join('')}</tbody></table></details>`;
}

function provenance(results: Results): string {
  const { cohort, grid } = results;
  const rows: [string, string][] = [
    ['Cohort', `${cohort.path} (${cohort.description}), fingerprint ${cohort.fingerprint.slice(0, 16)}`],
    ['Network', results.network],
    ['Input', `${results.modality}, ${grid.shape.join(' x ')} voxels of ${grid.spacing.join(' x ')} mm`],
    ['Training', results.training],
    ['Seed', String(results.seed)],
    ['Engine', results.engine],
    [
      'Made',
      `${results.created}, FCD Lens ${results.version}, ${Math.round(results.seconds)} s on the machine that ran it`,
    ],
    ['Command', `fcd ${results.command.join(' ')}`],
  ];
  return `<table class="plain"><tbody>${rows.map(([name, value]) => `<tr><th>${name}</th><td>${escape(value)}</td></tr>`).join('')}</tbody></table>`;
}

function interval({ low, high }: MetricRecord, digits = 3): string {
  return low === null || high === null ? '' : `[${low.toFixed(digits)}, ${high.toFixed(digits)}]`;
}

function number(value: number | null, digits: number): string {
  return value === null ? '-' : value.toFixed(digits);
}

function percent(value: number | null): string {
  return value === null ? '-' : `${(100 * value).toFixed(value < 0.1 ? 1 : 0)} %`;
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
