import './style.css';
import { HOST, WEBVIEW, type Opening } from '../../protocol/viewer';
import { RpcEndpoint } from '../../protocol/rpc';
import { button, element } from './elements';
import { Viewer } from './viewer';

declare function acquireVsCodeApi(): {
  postMessage(message: unknown): void;
  getState(): unknown;
  setState(state: unknown): void;
};

/** Opening may wait for a large file's header on a slow disk. */
const OPEN_TIMEOUT_MS = 60_000;

const vscode = acquireVsCodeApi();
const host = document.getElementById('viewer');
if (!host) throw new Error('The page has no place for the viewer.');
const page = host;

let viewer: Viewer | undefined;

const endpoint = new RpcEndpoint(
  (message) => vscode.postMessage(message),
  WEBVIEW,
  HOST,
  {
    show: async ({ scene, notice }) => {
      try {
        await shown(scene.settings).show(scene, notice);
      } catch (error) {
        fail(error);
        throw error;
      }
      return {};
    },
    settings: (settings) => {
      viewer?.applySettings(settings);
      return {};
    },
    view: async (change) => {
      await drawn().applyView(change);
      return {};
    },
    snapshot: ({ at }) => drawn().snapshot(at.map(({ view, mm }) => ({ view, mm }))),
  },
  { peer: 'The extension host' },
);
window.addEventListener('message', (event) => endpoint.receive(event.data));
window.addEventListener('pagehide', () => {
  endpoint.dispose();
  viewer?.dispose();
});
document.addEventListener('keydown', (event) => {
  const target = event.target;
  // A field, a slider and a list have their own use for these keys.
  if (target instanceof HTMLInputElement && target.type !== 'checkbox') return;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (viewer?.key(event.key, event.shiftKey)) event.preventDefault();
});

void open(false);

async function open(accepted: boolean): Promise<void> {
  try {
    const opening = await endpoint.call('open', { accepted }, OPEN_TIMEOUT_MS);
    await act(opening);
  } catch (error) {
    fail(error);
  }
}

async function act(opening: Opening): Promise<void> {
  if (opening.kind === 'scene') await shown(opening.scene.settings).show(opening.scene, null);
  else if (opening.kind === 'refused') say(opening.reason);
  else
    say(
      opening.question,
      button('Load', 'Load the whole file', () => void open(true)),
    );
}

function shown(settings: ConstructorParameters<typeof Viewer>[1]): Viewer {
  viewer ??= new Viewer(page, settings, endpoint, vscode);
  return viewer;
}

function drawn(): Viewer {
  if (!viewer) throw new Error('Nothing is shown yet.');
  return viewer;
}

function fail(error: unknown): void {
  if (error instanceof DOMException && error.name === 'AbortError') return; // the page is going
  const reason = error instanceof Error ? error.message : String(error);
  say(reason);
  endpoint.call('failed', { reason }).catch(() => {}); // the reader has the sentence already
}

/** A sentence in place of the slices, and what can be done about it. */
function say(sentence: string, ...choices: HTMLElement[]): void {
  viewer?.dispose();
  viewer = undefined;
  const text = element('p', { text: sentence });
  page.replaceChildren(
    element(
      'div',
      { class: 'sentence', attributes: { role: 'alert' } },
      text,
      element(
        'div',
        { class: 'choices' },
        ...(choices.length > 0 ? choices : [button('Retry', 'Read the file again', () => void open(false))]),
        button('Open as text', 'Open the file in the text editor', () => {
          endpoint.call('openAsText', {}).catch((error: unknown) => (text.textContent = String(error)));
        }),
      ),
    ),
  );
}
