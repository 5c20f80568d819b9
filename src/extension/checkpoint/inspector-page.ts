import { randomBytes } from 'node:crypto';
import * as vscode from 'vscode';

/** The page of the checkpoint editor: one script of ours under a nonce, one style sheet, and nothing else. */
export function inspectorPage(webview: vscode.Webview, scripts: vscode.Uri, title: string): string {
  const nonce = randomBytes(16).toString('base64');
  const at = (name: string) => webview.asWebviewUri(vscode.Uri.joinPath(scripts, name)).toString();
  const policy = `default-src 'none'; script-src 'nonce-${nonce}'; style-src ${webview.cspSource}`;
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="${at('inspector.css')}">
<title>${escaped(title)}</title>
</head>
<body>
<main id="inspector" aria-label="${escaped(title)}"></main>
<script nonce="${nonce}" src="${at('inspector.js')}"></script>
</body>
</html>`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
