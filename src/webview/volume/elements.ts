/** Attributes and listeners of an element, as far as the panel needs them. */
interface Properties {
  readonly class?: string;
  readonly text?: string;
  readonly title?: string;
  readonly attributes?: Readonly<Record<string, string>>;
  readonly on?: Readonly<Record<string, (event: Event) => void>>;
}

/** Makes an element; text goes in as text, never as markup. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Properties = {},
  ...children: (Node | undefined)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  if (properties.class !== undefined) made.className = properties.class;
  if (properties.text !== undefined) made.textContent = properties.text;
  if (properties.title !== undefined) made.title = properties.title;
  for (const [name, value] of Object.entries(properties.attributes ?? {})) made.setAttribute(name, value);
  for (const [name, listener] of Object.entries(properties.on ?? {})) made.addEventListener(name, listener);
  made.append(...children.filter((child) => child !== undefined));
  return made;
}

export function button(text: string, title: string, press: () => void): HTMLButtonElement {
  return element('button', { text, title, attributes: { type: 'button' }, on: { click: press } });
}

/** A slider with its name before and its value behind it; `label` tells it from others of its name. */
export function slider(
  name: string,
  label: string,
  range: {
    readonly min: number;
    readonly max: number;
    readonly step: number | 'any';
    readonly value: number;
  },
  say: (value: number) => string,
  moved: (value: number) => void,
): HTMLElement {
  const output = element('output', { text: say(range.value) });
  const input = element('input', {
    attributes: {
      type: 'range',
      min: String(range.min),
      max: String(range.max),
      step: String(range.step),
      'aria-label': label,
      'aria-valuetext': say(range.value),
    },
  });
  input.value = String(range.value);
  input.addEventListener('input', () => {
    const text = say(input.valueAsNumber);
    output.textContent = text;
    input.setAttribute('aria-valuetext', text);
    moved(input.valueAsNumber);
  });
  return element('label', { class: 'row' }, element('span', { class: 'name', text: name }), input, output);
}

export function checkbox(
  name: string,
  title: string,
  on: boolean,
  changed: (on: boolean) => void,
): HTMLElement {
  const input = element('input', { attributes: { type: 'checkbox' } });
  input.checked = on;
  input.addEventListener('change', () => changed(input.checked));
  return element('label', { class: 'check', title }, input, element('span', { text: name }));
}

/** Names and values, one below the other. */
export function facts(pairs: readonly (readonly [string, string] | undefined)[]): HTMLElement {
  const list = element('dl');
  for (const pair of pairs)
    if (pair) list.append(element('dt', { text: pair[0] }), element('dd', { text: pair[1], title: pair[1] }));
  return list;
}
