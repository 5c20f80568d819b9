/** A colour as 0 to 255. */
export type Rgb = readonly [red: number, green: number, blue: number];

/**
 * Two colours on both sides of nothing: blue below 0, orange above. Told apart in all common kinds of colour blindness,
 * and as light as each other at both ends, so that a sign is never taken for a size.
 */
const MAPS = {
  light: { below: [8, 81, 156], nothing: [245, 245, 245], above: [179, 82, 6] },
  dark: { below: [92, 184, 255], nothing: [24, 24, 24], above: [255, 164, 72] },
} as const satisfies Record<string, { below: Rgb; nothing: Rgb; above: Rgb }>;

export type MapName = keyof typeof MAPS;

/** The colour of a value from -1 to 1; what is outside takes the end's colour. */
export function divergingColour(value: number, map: MapName): Rgb {
  const { below, nothing, above } = MAPS[map];
  const end = value < 0 ? below : above;
  const share = Math.min(1, Math.abs(value));
  const mix = (channel: 0 | 1 | 2) =>
    Math.round(nothing[channel] + share * (end[channel] - nothing[channel]));
  return [mix(0), mix(1), mix(2)];
}

/** Where a value is not a number: a colour that the map does not have. */
export const NOT_FINITE: Rgb = [200, 0, 160];
