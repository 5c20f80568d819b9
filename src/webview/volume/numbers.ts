/** Values for people: whole numbers whole, others with six significant digits. */
export function valueText(value: number | null | undefined): string {
  if (value === null || value === undefined) return 'outside';
  if (!Number.isFinite(value)) return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return String(value);
  return shortNumber(value, 6);
}

/** Significant digits without an exponent where that is readable. */
export function shortNumber(value: number, digits = 3): string {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(Math.max(1, digits - 2));
  return String(Number(value.toPrecision(digits)));
}
