import * as vscode from 'vscode';

/** A tooltip of named facts. */
export function factsTable(
  title: string,
  facts: readonly (readonly [name: string, value: string])[],
): vscode.MarkdownString {
  const text = new vscode.MarkdownString();
  text.appendMarkdown(`**${escaped(title)}**\n\n|  |  |\n|---|---|\n`);
  for (const [name, value] of facts) text.appendMarkdown(`| ${escaped(name)} | ${escaped(value)} |\n`);
  return text;
}

/** Text that stays text in a cell of a Markdown table. */
function escaped(text: string): string {
  return text
    .replace(/[\\`*_{}[\]()#+!|~$-]/g, '\\$&')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replace(/\s+/g, ' ');
}
