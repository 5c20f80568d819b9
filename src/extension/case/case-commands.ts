import { mkdir, writeFile } from 'node:fs/promises';
import * as path from 'node:path';
import * as vscode from 'vscode';
import * as v from 'valibot';
import type { Explanation, ModelListing, Prediction, Progress } from '../../protocol/compute';
import { caseSchema, type CaseArgs, type CasePrediction } from '../../protocol/viewer';
import type { Compute } from '../compute/compute';
import type { Log } from '../log';
import { trusted } from '../settings/trust';
import { isFile, planCase } from '../volume/case-plan';
import type { VolumeEditor } from '../volume/volume-editor';
import type { VolumePanel } from '../volume/volume-panel';
import { workspaceRoots } from '../volume/workspace-maps';
import { brainMaskOf, imagesFor } from './case-images';
import { askCase } from './case-guide';
import type { MapClass, Method } from './choose-map-kind';
import { mapName } from './map-place';

const PREDICT = 'Predict Case';
const SHOW_GRAD_CAM = 'Show Grad-CAM';

interface ChosenCase {
  readonly images: readonly string[];
  readonly roi: string | null;
  readonly brain: string | null;
  readonly model: string;
  readonly remarks: readonly string[];
  /** Of a class map; of a prediction these say nothing. */
  readonly layer: string;
  readonly method: Method;
  readonly of: MapClass;
}

/** FCD: Predict Case and FCD: Show Grad-CAM: one scan through one network, the result over the scan. */
export class CaseCommands implements vscode.Disposable {
  private readonly disposables: readonly vscode.Disposable[];

  constructor(
    private readonly context: Pick<
      vscode.ExtensionContext,
      'workspaceState' | 'storageUri' | 'globalStorageUri'
    >,
    private readonly compute: Compute,
    private readonly volumes: VolumeEditor,
    private readonly log: Log,
  ) {
    this.disposables = [
      vscode.commands.registerCommand('fcd.predictCase', (args: unknown) =>
        this.told(PREDICT, () => this.predict(caseArgs(args, 'fcd.predictCase'))),
      ),
      vscode.commands.registerCommand('fcd.showGradCam', (args: unknown) =>
        this.told(SHOW_GRAD_CAM, () => this.showGradCam(caseArgs(args, 'fcd.showGradCam'))),
      ),
    ];
  }

  dispose(): void {
    for (const disposable of this.disposables) disposable.dispose();
  }

  private async predict(args: CaseArgs): Promise<Prediction | undefined> {
    if (!(await trusted(PREDICT))) return undefined;
    const chosen = await this.chosen(args, PREDICT);
    if (!chosen) return undefined;
    const { images, model, remarks } = chosen;
    const prediction = await working(`${PREDICT}: ${path.basename(images[0])}`, (token, onProgress) =>
      this.compute.request(
        'predict',
        { model, images: [...images], ...(chosen.brain ? { brain: chosen.brain } : {}) },
        { token, onProgress },
      ),
    );
    await this.volumes.openCase(
      images[0],
      { roi: chosen.roi, map: args.map, prediction: shown(prediction, model, remarks) },
      columnForCase(),
    );
    return prediction;
  }

  private async showGradCam(args: CaseArgs): Promise<Explanation | undefined> {
    if (args.image !== undefined && args.map && args.model === undefined) {
      await this.volumes.openCase(args.image, { roi: args.roi, map: args.map }, columnForCase());
      return undefined;
    }
    if (!(await trusted(SHOW_GRAD_CAM))) return undefined;
    const column = columnForCase();
    const chosen = await this.chosen(args, SHOW_GRAD_CAM);
    if (!chosen) return undefined;
    const { images, model, roi, remarks, layer, method, of } = chosen;

    const out = path.join(
      await this.mapFolder(),
      mapName({ image: images[0], model, layer, method, class: of }),
    );
    const explanation = await working(`${SHOW_GRAD_CAM}: ${path.basename(images[0])}`, (token, onProgress) =>
      this.compute.request(
        'explain',
        {
          model,
          images: [...images],
          layer,
          method,
          align: 'half-pixel',
          out,
          ...(of === 'predicted' ? {} : { class: of }),
          ...(roi ? { roi } : {}),
          ...(chosen.brain ? { brain: chosen.brain } : {}),
        },
        { token, onProgress },
      ),
    );
    const { heatScore, prediction } = explanation;
    await this.volumes.openCase(
      images[0],
      {
        roi,
        map: explanation.out,
        prediction: shown(
          { ...prediction, remarks: [...new Set([...prediction.remarks, ...explanation.remarks])] },
          model,
          remarks,
        ),
        heatScore,
      },
      column,
    );
    return explanation;
  }

  /** What is computed with what; asks for what the arguments leave open. Undefined where the person gave up. */
  private async chosen(
    args: CaseArgs,
    title: typeof PREDICT | typeof SHOW_GRAD_CAM,
  ): Promise<ChosenCase | undefined> {
    const active = this.volumes.active?.shown;
    const known = args.image ?? active?.image;
    if (known !== undefined && !(await isFile(known)))
      throw new Error(`${known} is not there. Check the path.`);
    const read = new Map<string, ModelListing>();
    const listing = async (model: string, image: string): Promise<ModelListing> => {
      const found = read.get(model) ?? (await this.compute.request('model', { model }));
      read.set(model, found);
      await imagesFor(found, image, args.secondImage);
      return found;
    };
    const { layer, method, class: of } = args;
    const answers = await askCase(
      { title, map: title === SHOW_GRAD_CAM, memory: this.context.workspaceState, listing },
      { image: known, model: args.model, layer, method, class: of },
    );
    if (answers?.image === undefined || answers.model === undefined) return undefined;
    const { image, model } = answers;
    const { images, remarks } = await imagesFor(await listing(model, image), image, args.secondImage);
    return {
      images,
      model,
      remarks,
      brain: args.brain === undefined ? await brainMaskOf(images[0]) : args.brain,
      roi: await this.roiOf(args, image, active),
      layer: answers.layer ?? '',
      method: answers.method ?? 'gradcam',
      of: answers.class ?? 'predicted',
    };
  }

  private async roiOf(
    args: CaseArgs,
    image: string,
    active: VolumePanel['shown'] | undefined,
  ): Promise<string | null> {
    if (args.roi !== undefined) return args.roi;
    if (active?.image === image && active.roi !== null) return active.roi;
    const plan = await planCase(image, workspaceRoots());
    return plan.overlays.find(({ kind }) => kind === 'mask')?.path ?? null;
  }

  /** `.fcd/cams` of the workspace, kept out of version control; without a workspace the extension's own storage. */
  private async mapFolder(): Promise<string> {
    const [root] = workspaceRoots();
    const folder =
      root === undefined
        ? path.join((this.context.storageUri ?? this.context.globalStorageUri).fsPath, 'cams')
        : path.join(root, '.fcd', 'cams');
    await mkdir(folder, { recursive: true });
    if (root !== undefined)
      await writeFile(path.join(folder, '.gitignore'), '*\n', { flag: 'wx' }).catch(() => {
        // It is there already, and may have been changed on purpose.
      });
    return folder;
  }

  /** A command ends in a result, in silence (given up), or in a sentence with the way to the log. */
  private async told<T>(title: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof vscode.CancellationError) return undefined;
      const message = error instanceof Error ? error.message : String(error);
      this.log.error(`${title}: ${message}`);
      void vscode.window.showErrorMessage(message, 'Show Log').then((choice) => {
        if (choice !== undefined) this.log.show();
      });
      throw error;
    }
  }
}

function caseArgs(args: unknown, command: string): CaseArgs {
  // From a menu of an editor VS Code passes the resource's Uri.
  const given = args instanceof vscode.Uri ? { image: args.fsPath } : (args ?? {});
  const parsed = v.safeParse(caseSchema, given);
  if (!parsed.success)
    throw new Error(
      `${command} was called with something else than { image?, roi?, model?, map?, layer?, method?, class? }: ${parsed.issues[0].message}`,
    );
  return parsed.output;
}

/** Beside the code, where code is looked at; else where the person is. */
function columnForCase(): vscode.ViewColumn {
  return vscode.window.activeTextEditor ? vscode.ViewColumn.Beside : vscode.ViewColumn.Active;
}

function shown(prediction: Prediction, model: string, remarks: readonly string[]): CasePrediction {
  const { predicted, probability, logits } = prediction;
  return {
    model: vscode.workspace.asRelativePath(model),
    predicted,
    probability,
    logits,
    remarks: [...remarks, ...prediction.remarks],
  };
}

/** Runs a request with its progress in a notification that can cancel it. */
function working<T>(
  title: string,
  work: (token: vscode.CancellationToken, onProgress: (progress: Progress) => void) => Promise<T>,
): Thenable<T> {
  return vscode.window.withProgress(
    { location: vscode.ProgressLocation.Notification, title, cancellable: true },
    (progress, token) => {
      let reached = 0;
      return work(token, ({ detail, fraction }) => {
        const increment = fraction === null ? 0 : Math.max(0, 100 * fraction - reached);
        reached += increment;
        progress.report({ message: detail, increment });
      });
    },
  );
}
