import './style.css';
import { HOST, PAGE, type InspectorSnapshot, type Opening } from '../../protocol/inspector';
import { RpcEndpoint } from '../../protocol/rpc';
import { button, element } from '../volume/elements';
import { Inspector } from './inspector';
import { restoredState } from './state';

declare function acquireVsCodeApi(): {
  postMessage(message: unknown): void;
  getState(): unknown;
  setState(state: unknown): void;
};

/** Opening may wait for a process to start on a busy machine, and for a slow disk. */
const OPEN_TIMEOUT_MS = 180_000;

const vscode = acquireVsCodeApi();
const host = document.getElementById('inspector');
if (!host) throw new Error('The page has no place for the checkpoint.');
const root = host;

let inspector: Inspector | undefined;

const endpoint = new RpcEndpoint(
  (message) => vscode.postMessage(message),
  PAGE,
  HOST,
  {
    statistics: ({ rows, pass }) => {
      inspector?.addStatistics(rows, pass);
      return {};
    },
    comparison: ({ comparison }) => {
      inspector?.setComparison(comparison);
      return {};
    },
    changes: ({ rows, pass }) => {
      inspector?.addChanges(rows, pass);
      return {};
    },
    reopen: async () => {
      await open();
      return {};
    },
    go: (where) => {
      shown().go(where);
      return {};
    },
    snapshot: () => inspector?.snapshot() ?? sentenceSnapshot(),
  },
  { peer: 'The extension host' },
);
window.addEventListener('message', (event) => endpoint.receive(event.data));
window.addEventListener('pagehide', () => {
  endpoint.dispose();
  inspector?.dispose();
});
document.addEventListener('keydown', (event) => {
  const typing = event.target instanceof HTMLInputElement && event.target.type !== 'checkbox';
  if (event.key !== '/' || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  inspector?.focusFilter();
  event.preventDefault();
});
// VS Code tells the page of another theme by the classes of its body.
const themes = new MutationObserver(() => inspector?.changeTheme());
themes.observe(document.body, { attributes: true, attributeFilter: ['class'] });

say('Reading the file…');
void open();

async function open(): Promise<void> {
  try {
    show(await endpoint.call('open', {}, OPEN_TIMEOUT_MS));
  } catch (error) {
    refuse(error instanceof Error ? error.message : String(error), false);
  }
}

function show(opening: Opening): void {
  inspector?.dispose();
  inspector = undefined;
  if (opening.kind === 'refused') {
    refuse(opening.reason, opening.trust);
    return;
  }
  inspector = new Inspector(root, opening, endpoint, restoredState(vscode.getState()), (state) =>
    vscode.setState(state),
  );
  endpoint.call('shown', { ms: performance.now() }).catch(() => {}); // for the log only
}

function shown(): Inspector {
  if (!inspector) throw new Error('Nothing is shown yet.');
  return inspector;
}

function refuse(reason: string, trust: boolean): void {
  say(
    reason,
    trust
      ? button('Manage Workspace Trust', 'Trust this workspace', () => {
          endpoint.call('manageTrust', {}, null).catch(() => {}); // closing its editor is no answer
        })
      : button('Retry', 'Read the file again', () => void open()),
  );
}

function sentenceSnapshot(): InspectorSnapshot {
  return { tab: 'tensors', rows: [], rowCount: 0, selected: null, text: root.innerText, filters: [] };
}

/** A sentence in place of the checkpoint, and what can be done about it. */
function say(sentence: string, ...choices: HTMLElement[]): void {
  root.replaceChildren(
    element(
      'div',
      { class: 'sentence', attributes: { role: 'status' } },
      element('p', { text: sentence }),
      choices.length > 0 ? element('div', { class: 'choices' }, ...choices) : undefined,
    ),
  );
}
