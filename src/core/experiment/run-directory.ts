import {
  appendFileSync,
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  truncateSync,
} from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import * as v from 'valibot';
import {
  parseEvents,
  runSchema,
  type HeatScoreRow,
  type PredictionRow,
  type RunEvent,
  type RunRecord,
} from '../../protocol/run';
import { InputError, messageOf } from '../errors';
import { writeJson, writeWhole } from '../files/whole';

type EventBody = RunEvent extends infer E ? (E extends RunEvent ? Omit<E, 'time'> : never) : never;

/** A run's directory: the truth about the run, readable while it is written. */
export class RunDirectory {
  private mended = false;

  constructor(readonly path: string) {}

  get recordPath(): string {
    return join(this.path, 'run.json');
  }

  checkpoint(kind: 'last' | 'best'): string {
    return join(this.path, 'checkpoints', kind, 'model.safetensors');
  }

  /** Where a participant's class map lies; `map` names it where a run makes more than one. */
  cam(participantId: string, map?: string): string {
    return join(this.path, 'cams', `${camName(participantId, map)}.safetensors`);
  }

  /** The same map on the subject's own grid. */
  camNifti(participantId: string, map?: string): string {
    return join(this.path, 'cams', `${camName(participantId, map)}.nii.gz`);
  }

  /** Whether a file of the run is there. */
  has(path: string): boolean {
    return existsSync(path);
  }

  get exists(): boolean {
    return existsSync(this.recordPath);
  }

  /** Makes the directory and its run.json. @throws InputError when a run is there already */
  async begin(record: RunRecord): Promise<void> {
    if (this.exists)
      throw new InputError(
        `${this.path} holds a run already. Give another --out, or go on with it: fcd ${record.segmentation ? 'pretrain' : 'train'} --resume ${this.path}.`,
      );
    await writeJson(this.recordPath, record);
  }

  /** What computes from now on. */
  async keepEngine(engine: RunRecord['engine']): Promise<void> {
    await writeJson(this.recordPath, { ...(await this.record()), engine });
  }

  /** How steps are computed from now on. */
  async keepStep(step: NonNullable<RunRecord['step']>): Promise<void> {
    const record = await this.record();
    if (!isDeepStrictEqual(step, record.step)) await writeJson(this.recordPath, { ...record, step });
  }

  /** Keeps the engine's plan in run.json as it grows, so that a run that goes on computes as it began. */
  async keepPlan(plan: RunRecord['engine']['plan']): Promise<void> {
    const record = await this.record();
    if (plan === undefined || isDeepStrictEqual(plan, record.engine.plan)) return;
    await writeJson(this.recordPath, { ...record, engine: { ...record.engine, plan } });
  }

  /** Removes what writing left behind where a crash cut it off (see writeWhole). */
  async sweep(): Promise<void> {
    const names = await readdir(this.path, { recursive: true });
    for (const name of names) if (/\.\d+\.\d+\.tmp$/.test(name)) await rm(join(this.path, name));
  }

  async record(): Promise<RunRecord> {
    return readRunRecord(this.recordPath);
  }

  /** Appends an event. A line that a crash tore is cut off first, so that lines stay whole. */
  append(event: EventBody): void {
    const path = join(this.path, 'events.jsonl');
    if (!this.mended) mendLastLine(path);
    this.mended = true;
    const stamp = { time: new Date().toISOString(), processorSeconds: processorSeconds() };
    appendFileSync(path, JSON.stringify({ ...stamp, ...event }) + '\n');
  }

  /** Pushes the events to the disk; called when something happened that must not be lost. */
  sync(): void {
    const handle = openSync(join(this.path, 'events.jsonl'), 'r');
    try {
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
  }

  events(): RunEvent[] {
    const path = join(this.path, 'events.jsonl');
    if (!existsSync(path)) return [];
    try {
      return parseEvents(readFileSync(path, 'utf8'));
    } catch (error) {
      throw new InputError(`${path} is damaged: ${messageOf(error)} Remove that line to go on.`, {
        cause: error,
      });
    }
  }

  async writePredictions(rows: readonly PredictionRow[]): Promise<void> {
    await writeWhole(join(this.path, 'predictions.csv'), predictionsCsv(rows));
  }

  async writeHeatScores(rows: readonly HeatScoreRow[]): Promise<void> {
    await writeWhole(join(this.path, 'heatscores.csv'), heatScoresCsv(rows));
  }
}

/** Of all threads of this process, in milliseconds' accuracy. */
function processorSeconds(): number {
  const { user, system } = process.cpuUsage();
  return Math.round((user + system) / 1000) / 1000;
}

/** Reads and checks a run.json. */
export async function readRunRecord(path: string): Promise<RunRecord> {
  if (!existsSync(path)) throw new InputError(`There is no run at ${dirname(path)}: it holds no run.json.`);
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw new InputError(`${path} cannot be read as a run: ${messageOf(error)}. Start a new run.`);
  }
  const result = v.safeParse(runSchema, value);
  if (result.success) return result.output;
  const issue = result.issues[0];
  throw new InputError(`${path}: field "${v.getDotPath(issue) ?? '?'}" is not valid: ${issue.message}.`);
}

function camName(participantId: string, map: string | undefined): string {
  return map === undefined ? participantId : `${participantId}_${map}`;
}

export function predictionsCsv(rows: readonly PredictionRow[]): string {
  const lines = rows.map((row) =>
    [
      cell(row.participantId),
      cell(row.source),
      row.fold,
      row.seed,
      row.yTrue,
      row.logits[0],
      row.logits[1],
      row.pFcd,
      row.yPred,
    ].join(','),
  );
  return ['participant_id,source,fold,seed,y_true,logit_control,logit_fcd,p_fcd,y_pred', ...lines, ''].join(
    '\n',
  );
}

export function heatScoresCsv(rows: readonly HeatScoreRow[]): string {
  const lines = rows.map((row) =>
    [
      cell(row.participantId),
      row.fold,
      row.layer,
      row.method,
      row.align,
      row.variant,
      row.score ?? '',
      row.inRoiMean,
      row.referenceMean ?? '',
      row.roiVoxels,
      row.flags.join(';'),
    ].join(','),
  );
  const header =
    'participant_id,fold,layer,method,align,variant,score,in_roi_mean,reference_mean,roi_voxels,flags';
  return [header, ...lines, ''].join('\n');
}

/** A text as a CSV cell: quoted where it holds what would end it (RFC 4180). */
function cell(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function mendLastLine(path: string): void {
  if (!existsSync(path)) return;
  const text = readFileSync(path);
  if (text.length === 0 || text[text.length - 1] === 10) return;
  truncateSync(path, text.lastIndexOf(10) + 1);
}
