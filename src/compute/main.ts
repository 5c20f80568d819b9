import { constants, setPriority } from 'node:os';
import * as v from 'valibot';
import { createMessageConnection, IPCMessageReader, IPCMessageWriter } from 'vscode-jsonrpc/node';
import { messageOf } from '../core/errors';
import {
  COMPUTE_SETTINGS,
  computeSettingsSchema,
  ENGINE_OPENED,
  READY,
  USUAL_SETTINGS,
  type ComputeSettings,
} from '../protocol/compute';
import { changes, checkpoint, filters, identify, layers, match, tensors } from './methods/checkpoint';
import { cohort } from './methods/cohort';
import { engine, engineMessage, engineOptions } from './methods/engine';
import { explain } from './methods/explain';
import { header } from './methods/header';
import { importWeights, planImport } from './methods/import-weights';
import { model } from './methods/model';
import { predict } from './methods/predict';
import { statistics } from './methods/statistics';
import { Resident } from './resident';
import { serve } from './serve';

/**
 * The compute process: core behind JSON-RPC, for what the editor asks interactively. It is forked and speaks over the
 * IPC channel: standard output and error stay free for what libraries and a dying V8 have to say, and when the editor
 * goes, the channel closes and the process ends, however the editor went.
 */

/** Standard error is the editor's log. */
const log = (text: string): void => void process.stderr.write(`${text}\n`);

if (!process.send) {
  log('This is the compute process of FCD Lens; the editor starts it. On a terminal there is bin/fcd.');
  process.exit(2);
}

const settings = settingsGiven();
if (settings.background) beLowPriority();

const connection = createMessageConnection(new IPCMessageReader(process), new IPCMessageWriter(process));
const resident = new Resident(engineOptions(settings), (report) => {
  void connection.sendNotification(ENGINE_OPENED, engineMessage(report, settings)).catch(() => {});
});

serve(
  connection,
  {
    header,
    statistics,
    cohort,
    model,
    checkpoint,
    tensors,
    match,
    changes,
    filters,
    layers,
    identify,
    planImport,
    importWeights,
    engine: (_params, job) => engine(settings, job, resident),
    predict: (params, job) => predict(params, job, resident),
    explain: (params, job) => explain(params, job, resident),
    shutdown: async () => {
      await resident.close();
      // Behind the answer: disconnecting lets what was sent before get through.
      setTimeout(() => process.disconnect(), 0);
      return {};
    },
  },
  log,
);
process.once('disconnect', () => process.exit(0));
connection.listen();
void connection.sendNotification(READY).catch(() => {});

function settingsGiven(): ComputeSettings {
  const text = process.env[COMPUTE_SETTINGS];
  return text === undefined ? USUAL_SETTINGS : v.parse(computeSettingsSchema, JSON.parse(text));
}

/** Before any thread is started, for on Linux each has a priority of its own and inherits it. */
function beLowPriority(): void {
  try {
    setPriority(constants.priority.PRIORITY_LOW);
  } catch (error) {
    log(`The priority could not be lowered: ${messageOf(error)}.`);
  }
}
