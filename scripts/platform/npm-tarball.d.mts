/** Files of an npm package by path, checked against its integrity (`sha512-…`); nothing is installed or run. */
export function filesOfPackage(pin: {
  readonly package: string;
  readonly version: string;
  readonly integrity: string;
}): Map<string, { readonly bytes: Buffer; readonly mode: number }>;
