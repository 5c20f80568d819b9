import { randomBytes } from 'node:crypto';
import * as vscode from 'vscode';

/** The page of the volume editor: one script of ours under a nonce, nothing remote, no eval. */
export function webviewPage(webview: vscode.Webview, scripts: vscode.Uri, title: string): string {
  const nonce = randomBytes(16).toString('base64');
  const at = (name: string) => webview.asWebviewUri(vscode.Uri.joinPath(scripts, name)).toString();
  // Images and connections of data: and blob: are NiiVue's font sheet and textures, made in the page itself. The nonce
  // is not for styles: NiiVue sets styles by script, which needs none.
  const policy = [
    `default-src 'none'`,
    `script-src 'nonce-${nonce}'`,
    `style-src ${webview.cspSource}`,
    `img-src data: blob:`,
    `connect-src ${webview.cspSource}`,
  ].join('; ');
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="${at('volume.css')}">
<title>${escaped(title)}</title>
</head>
<body>
<main id="viewer" aria-label="${escaped(title)}"></main>
<script type="module" nonce="${nonce}" src="${at('volume.js')}"></script>
</body>
</html>`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
