/** Installs the VS Code server where it is missing; answers why there is none, or undefined once it is there. */
export function setUpServer(): string | undefined;
