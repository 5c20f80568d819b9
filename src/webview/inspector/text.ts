import { shortNumber } from '../volume/numbers';

/** A statistic for a column: three significant digits, no exponent where that is readable. */
export function numberText(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–';
  return minus(shortNumber(value, 3));
}

/** The same with more digits, for the details. */
export function exactText(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–';
  return minus(shortNumber(value, 6));
}

/** A true minus: as wide as a digit, and not a hyphen. */
function minus(text: string): string {
  return text.replace(/^-/, '−').replace('e-', 'e−').replace('e+', 'e');
}

/** As the editor writes sizes: binary, two or three digits. */
export function bytesText(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const units = ['KB', 'MB', 'GB', 'TB'];
  let value = bytes / 1024;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** `33.0 M`, `1.2 G`, `864`. */
export function amountText(amount: number): string {
  for (const [factor, letter] of [
    [1e12, 'T'],
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const)
    if (amount >= factor) {
      const value = amount / factor;
      return `${value < 100 ? value.toFixed(1) : Math.round(value)} ${letter}`;
    }
  return String(amount);
}

/** 1234567 as `1,234,567`. */
export function wholeText(value: number): string {
  return value.toLocaleString('en');
}

export function shapeText(shape: readonly number[]): string {
  return shape.length === 0 ? 'scalar' : shape.join('×');
}

export function countText(count: number, one: string, many = `${one}s`): string {
  return `${wholeText(count)} ${count === 1 ? one : many}`;
}

/** Shares of change: `0 %`, `< 0.01 %`, `12.3 %`. */
export function shareText(share: number): string {
  const percent = 100 * share;
  if (percent === 0) return '0 %';
  if (percent < 0.01) return '< 0.01 %';
  return `${percent < 10 ? percent.toFixed(2) : percent < 1000 ? percent.toFixed(1) : percent.toExponential(1)} %`;
}

/** Whole axes of what a tensor is: `512 filters of 256×3×3×3`. */
export function kindText(shape: readonly number[]): string {
  if (shape.length === 0) return 'one value';
  if (shape.length === 1) return `vector of ${wholeText(shape[0])}`;
  const [first, ...others] = shape;
  if (shape.length === 2) return `matrix of ${wholeText(first)} × ${wholeText(others[0])}`;
  return `${countText(first, 'filter')} of ${others.join('×')}`;
}
