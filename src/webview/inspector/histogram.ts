import type { TensorStatisticsMessage } from '../../protocol/inspection';
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

const PLOT = { width: 360, height: 128, left: 6, right: 6, top: 14, bottom: 20 };

/** A histogram with its axis. `logarithmic`: heights by the logarithm of counts, so that rare values are seen. */
export function histogramPlot({ low, high, counts }: Histogram, logarithmic: boolean): SVGElement {
  const { width, height, left, right, top, bottom } = PLOT;
  const inner = { width: width - left - right, height: height - top - bottom };
  const scaled = (count: number) => (logarithmic ? Math.log10(1 + count) : count);
  const most = Math.max(...counts);
  const step = inner.width / counts.length;
  const base = top + inner.height;
  const bin = (high - low) / counts.length;
  const picture = svg('svg', {
    class: 'plot',
    viewBox: `0 0 ${width} ${height}`,
    role: 'img',
    'aria-label': `Histogram from ${numberText(low)} to ${numberText(high)}, at most ${wholeText(most)} values in a bin`,
  });
  counts.forEach((count, index) => {
    const tall = count === 0 ? 0 : Math.max(1, (scaled(count) / scaled(most)) * inner.height);
    const x = left + index * step;
    const bar = svg('rect', {
      class: 'bar',
      x: x.toFixed(2),
      y: (base - tall).toFixed(2),
      width: Math.max(0.5, step - (counts.length > 40 ? 0.4 : 1)).toFixed(2),
      height: tall.toFixed(2),
    });
    // The whole column answers to the pointer, however low its bar.
    const column = svg('rect', {
      class: 'column',
      x: x.toFixed(2),
      y: top,
      width: step.toFixed(2),
      height: inner.height,
    });
    column.append(
      svg(
        'title',
        {},
        `${numberText(low + index * bin)} to ${numberText(low + (index + 1) * bin)}: ${wholeText(count)} ${count === 1 ? 'value' : 'values'}`,
      ),
    );
    picture.append(bar, column);
  });
  picture.append(svg('line', { class: 'axis', x1: left, x2: width - right, y1: base + 0.5, y2: base + 0.5 }));
  const at = (value: number) => left + ((value - low) / (high - low)) * inner.width;
  const ticks: [number, string][] = [
    [low, 'start'],
    [high, 'end'],
  ];
  // 0 tells most of weights; where it lies at an end, the end's own number says it.
  if (low < 0 && high > 0 && at(0) > width * 0.2 && at(0) < width * 0.8) ticks.push([0, 'middle']);
  for (const [value, anchor] of ticks) {
    picture.append(svg('line', { class: 'axis', x1: at(value), x2: at(value), y1: base, y2: base + 4 }));
    picture.append(svg('text', { x: at(value), y: height - 4, 'text-anchor': anchor }, numberText(value)));
  }
  const unit = logarithmic ? 'log scale' : 'values in a bin';
  picture.append(svg('text', { class: 'most', x: left, y: 10 }, `${wholeText(most)} ${unit}`));
  return picture;
}
