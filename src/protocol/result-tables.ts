import type { HeatScoreRow, PredictionRow } from './run';

/**
 * Rows of a predictions.csv as the program writes it. Lines that are no prediction are left out: the file belongs to
 * whoever opens it in a spreadsheet.
 */
export function parsePredictions(text: string): PredictionRow[] {
  return tableRows(text).flatMap((cell) => {
    const participantId = cell('participant_id');
    const numbers = ['fold', 'seed', 'y_true', 'logit_control', 'logit_fcd', 'p_fcd', 'y_pred'].map((name) =>
      numberOf(cell(name)),
    );
    const [fold, seed, yTrue, control, fcd, pFcd, yPred] = numbers;
    if (participantId === '' || numbers.some(Number.isNaN)) return [];
    return [
      {
        participantId,
        source: cell('source'),
        fold,
        seed,
        yTrue: yTrue === 1 ? 1 : 0,
        logits: [control, fcd],
        pFcd,
        yPred: yPred === 1 ? 1 : 0,
      },
    ];
  });
}

/** Rows of a heatscores.csv; an empty score stays empty. */
export function parseHeatScores(text: string): HeatScoreRow[] {
  return tableRows(text).flatMap((cell) => {
    const participantId = cell('participant_id');
    const [fold, inRoiMean, roiVoxels] = [cell('fold'), cell('in_roi_mean'), cell('roi_voxels')].map(
      numberOf,
    );
    if (participantId === '' || Number.isNaN(fold)) return [];
    const flags = cell('flags');
    return [
      {
        participantId,
        fold,
        layer: cell('layer'),
        method: cell('method'),
        align: cell('align'),
        variant: cell('variant'),
        score: numberOrNull(cell('score')),
        inRoiMean,
        referenceMean: numberOrNull(cell('reference_mean')),
        roiVoxels,
        flags: flags === '' ? [] : flags.split(';'),
      },
    ];
  });
}

function numberOf(text: string): number {
  return text.trim() === '' ? NaN : Number(text);
}

function numberOrNull(text: string): number | null {
  const value = numberOf(text);
  return Number.isNaN(value) ? null : value;
}

/** One function per row that tells a cell by its column's name; an unknown column is empty. */
function tableRows(text: string): ((column: string) => string)[] {
  const [header, ...rows] = csvRecords(text);
  if (!header) return [];
  const position = new Map(header.map((name, at) => [name, at]));
  return rows.map((row) => (column) => row[position.get(column) ?? -1] ?? '');
}

/** Records of RFC 4180: commas, cells in quotes where they hold commas, quotes or line ends. */
export function csvRecords(text: string): string[][] {
  const records: string[][] = [];
  let record: string[] = [];
  let cell = '';
  let quoted = false;
  const endRecord = (): void => {
    record.push(cell);
    cell = '';
    if (record.length > 1 || record[0] !== '') records.push(record);
    record = [];
  };
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (quoted) {
      if (char !== '"') cell += char;
      else if (text[at + 1] === '"') cell += text[at++];
      else quoted = false;
    } else if (char === '"' && cell === '') quoted = true;
    else if (char === ',') {
      record.push(cell);
      cell = '';
    } else if (char === '\n') endRecord();
    else if (char !== '\r') cell += char;
  }
  endRecord();
  return records;
}
