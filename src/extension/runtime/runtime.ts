/** A Node.js to run the compute process and tasks with. */
export interface Runtime {
  readonly path: string;
  /** Before the program: none at present, but for a runtime that needs some. */
  readonly args: readonly string[];
  /** To be added to the environment. */
  readonly env: Readonly<Record<string, string>>;
  /** `v24.21.0`. */
  readonly version: string;
  /** Why this one, as half a sentence: `shipped with the extension`. */
  readonly reason: string;
}
