import { interpolateInferno } from 'd3-scale-chromatic';

/** The one scale for heat: figures of the report and the volume editor draw with it. Red, green and blue are 0 to 255. */
export type Rgb = readonly [number, number, number];

/** A heat's colour and how much of the scan it covers. */
export interface HeatColour {
  readonly colour: Rgb;
  readonly share: number;
}

const STEPS = 256;

/** Low heat leaves the scan to be seen; from this part of the range on the cover grows no further. */
const FULL_COVER_FROM = 0.6;
const FULL_COVER = 0.82;

/** The first part of inferno is all but black and would only darken the scan. */
const FIRST_COLOUR = 0.18;

const table: readonly HeatColour[] = Array.from({ length: STEPS }, (_, step) => {
  const part = step / (STEPS - 1);
  const cover = Math.min(1, part / FULL_COVER_FROM);
  return {
    colour: parseColour(interpolateInferno(FIRST_COLOUR + (1 - FIRST_COLOUR) * part)),
    share: FULL_COVER * cover * cover * (3 - 2 * cover),
  };
});

/** The colour of a heat; `part` is its place in the range, 0 (nothing is drawn) to 1. Perceptually ordered (inferno). */
export function heatColour(part: number): HeatColour {
  return table[Math.round(Math.min(1, Math.max(0, part)) * (STEPS - 1))];
}

/** d3 gives `#rrggbb` or `rgb(r, g, b)`. */
function parseColour(text: string): Rgb {
  const hex = /^#(..)(..)(..)$/.exec(text);
  const [r, g, b] = hex
    ? hex.slice(1).map((part) => parseInt(part, 16))
    : (text.match(/\d+/g) ?? []).map(Number);
  return [r, g, b];
}
