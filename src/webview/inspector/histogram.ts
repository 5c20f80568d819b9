import type { TensorStatisticsMessage } from '../../protocol/inspection';
import { element } from '../volume/elements';
import { numberText, wholeText } from './text';

type Histogram = NonNullable<TensorStatisticsMessage['histogram']>;

const SVG = 'http://www.w3.org/2000/svg';

function svg(tag: string, attributes: Readonly<Record<string, string | number>>, text?: string): SVGElement {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  if (text !== undefined) made.textContent = text;
  return made;
}

const SPARK = { width: 80, height: 16 };

/** A histogram as small as a word. */
export function sparkline({ counts }: Histogram): SVGElement {
  const { width, height } = SPARK;
  const most = Math.max(1, ...counts);
  const step = width / counts.length;
  let path = `M0 ${height}`;
  counts.forEach((count, bin) => {
    // Whatever is there is seen: a bin of one value beside one of a million has a pixel.
    const y = count === 0 ? height : Math.min(height - 1, height - (count / most) * height);
    path += `L${(bin * step).toFixed(1)} ${y.toFixed(1)}L${((bin + 1) * step).toFixed(1)} ${y.toFixed(1)}`;
  });
  const picture = svg('svg', {
    class: 'spark',
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    'aria-hidden': 'true',
  });
  picture.append(svg('path', { d: `${path}L${width} ${height}Z` }));
  return picture;
}

const PLOT = { width: 360, height: 94 };

/** A histogram with its axis. `logarithmic`: heights by the logarithm of counts, so that rare values are seen. */
export function histogramPlot({ low, high, counts }: Histogram, logarithmic: boolean): HTMLElement {
  const { width, height } = PLOT;
  const scaled = (count: number) => (logarithmic ? Math.log10(1 + count) : count);
  const most = Math.max(...counts);
  const step = width / counts.length;
  const bin = (high - low) / counts.length;
  // The picture is as wide as its column; what is written under it is not a part of it, and keeps its size.
  const picture = svg('svg', {
    viewBox: `0 0 ${width} ${height}`,
    preserveAspectRatio: 'none',
    role: 'img',
    'aria-label': `Histogram from ${numberText(low)} to ${numberText(high)}, at most ${wholeText(most)} values in a bin`,
  });
  counts.forEach((count, index) => {
    const tall = count === 0 ? 0 : Math.max(1, (scaled(count) / scaled(most)) * height);
    const x = index * step;
    const bar = svg('rect', {
      class: 'bar',
      x: x.toFixed(2),
      y: (height - tall).toFixed(2),
      width: Math.max(0.5, step - (counts.length > 40 ? 0.4 : 1)).toFixed(2),
      height: tall.toFixed(2),
    });
    // The whole column answers to the pointer, however low its bar.
    const column = svg('rect', { class: 'column', x: x.toFixed(2), y: 0, width: step.toFixed(2), height });
    column.append(
      svg(
        'title',
        {},
        `${numberText(low + index * bin)} to ${numberText(low + (index + 1) * bin)}: ${wholeText(count)} ${count === 1 ? 'value' : 'values'}`,
      ),
    );
    picture.append(bar, column);
  });
  return element(
    'figure',
    { class: 'plot' },
    element('span', {
      class: 'most',
      text: `${wholeText(most)} ${logarithmic ? 'values in the fullest bin, log scale' : 'values in the fullest bin'}`,
    }),
    picture,
    element('div', { class: 'ticks' }, ...ticks(low, high)),
  );
}

/** The ends, and 0 where it is not close to one of them: 0 tells most of weights. */
function ticks(low: number, high: number): HTMLElement[] {
  const zero = -low / (high - low);
  const middle = element('span', { class: 'zero', text: '0' });
  middle.style.left = `${100 * zero}%`;
  return [
    element('span', { text: numberText(low) }),
    ...(zero > 0.2 && zero < 0.8 ? [middle] : []),
    element('span', { text: numberText(high) }),
  ];
}
