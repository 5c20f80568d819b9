export const ROOT: string;
export const RESULTS: string;

export interface Editor {
  /** The environment names a desktop VS Code: the rest is not needed. */
  readonly desktop: boolean;
  /** Folder of the server. */
  readonly home: string;
  /** Its entry point, present or not. */
  readonly server: string;
  /** The Node it runs on. */
  readonly node?: string;
  readonly chromium?: string;
}

export function locateEditor(): Editor;
