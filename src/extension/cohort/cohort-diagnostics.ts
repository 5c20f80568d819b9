import { join } from 'node:path';
import * as vscode from 'vscode';
import type { CohortListing } from '../../protocol/compute';

const SEVERITY = {
  error: vscode.DiagnosticSeverity.Error,
  warning: vscode.DiagnosticSeverity.Warning,
  information: vscode.DiagnosticSeverity.Information,
};

/** What is wrong with cohorts, at the lines of their tables. */
export class CohortDiagnostics implements vscode.Disposable {
  private readonly collection = vscode.languages.createDiagnosticCollection('fcd');
  /** Tables that a cohort's findings were shown at, by the cohort's path. */
  private readonly shown = new Map<string, vscode.Uri[]>();

  show({ path, findings }: CohortListing): void {
    this.clear(path);
    const byFile = new Map<string, vscode.Diagnostic[]>();
    for (const { file, line, message, severity } of findings) {
      if (file === null || !/\.(tsv|csv|json)$/i.test(file)) continue;
      const at = Math.max(0, (line ?? 1) - 1);
      const range = new vscode.Range(at, 0, at, Number.MAX_SAFE_INTEGER);
      const diagnostic = new vscode.Diagnostic(range, message, SEVERITY[severity]);
      diagnostic.source = 'fcd';
      byFile.set(file, [...(byFile.get(file) ?? []), diagnostic]);
    }
    const uris: vscode.Uri[] = [];
    for (const [file, diagnostics] of byFile) {
      const uri = vscode.Uri.file(file);
      this.collection.set(uri, diagnostics);
      uris.push(uri);
    }
    this.shown.set(path, uris);
  }

  /** A table that cannot be read as a cohort: its faulty lines, as the sentence names them. */
  showFault(path: string, message: string): void {
    this.clear(path);
    const table = /\.(tsv|csv)$/i.test(path) ? path : join(path, 'participants.tsv');
    if (!message.includes(table)) return;
    const lines = [...message.matchAll(/\bline (\d+): ([^\n]+)/g)].map(([, line, what]) => ({
      at: Number(line) - 1,
      what,
    }));
    const faults = lines.length > 0 ? lines : [{ at: 0, what: message }];
    const uri = vscode.Uri.file(table);
    this.collection.set(
      uri,
      faults.map(({ at, what }) => {
        const range = new vscode.Range(at, 0, at, Number.MAX_SAFE_INTEGER);
        const diagnostic = new vscode.Diagnostic(range, what, vscode.DiagnosticSeverity.Error);
        diagnostic.source = 'fcd';
        return diagnostic;
      }),
    );
    this.shown.set(path, [uri]);
  }

  /**
   * Tasks share the owner of these problems (package.json), so that none is listed twice; the editor takes away all of
   * an owner's problems when one of its tasks begins.
   */
  showAgain(): void {
    for (const uris of this.shown.values())
      for (const uri of uris) this.collection.set(uri, this.collection.get(uri));
  }

  /** Forgets cohorts that are not there any more. */
  keepOnly(paths: readonly string[]): void {
    for (const path of this.shown.keys()) if (!paths.includes(path)) this.clear(path);
  }

  dispose(): void {
    this.collection.dispose();
  }

  private clear(path: string): void {
    for (const uri of this.shown.get(path) ?? []) this.collection.delete(uri);
    this.shown.delete(path);
  }
}
