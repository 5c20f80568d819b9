/** Tensors by their dotted names as a tree of modules; pure, so that it can be tested. */

export interface Leaf<T> {
  readonly kind: 'tensor';
  /** What is left of the name below its group: `weight`, or `conv1.weight` where a module has one tensor only. */
  readonly label: string;
  readonly name: string;
  readonly item: T;
}

export interface Group<T> {
  readonly kind: 'group';
  readonly label: string;
  /** Dotted path, the common prefix included. */
  readonly path: string;
  readonly children: readonly TreeNode<T>[];
  readonly items: readonly T[];
}

export type TreeNode<T> = Leaf<T> | Group<T>;

export interface Tree<T> {
  /** What all names begin with, with its dot (`module.`); not repeated in labels. */
  readonly prefix: string;
  readonly children: readonly TreeNode<T>[];
}

/** One line of the tree as it is shown. */
export interface Row<T> {
  readonly node: TreeNode<T>;
  /** From 1. */
  readonly level: number;
  readonly expanded: boolean;
}

interface Draft<T> {
  readonly groups: Map<string, Draft<T>>;
  readonly entries: { label: string; name: string; item: T }[];
  /** Labels of groups and tensors in the order in which they came. */
  readonly order: { label: string; group: boolean }[];
}

/** Groups tensors by module, in the order in which they come; numbered modules by their numbers. */
export function treeOf<T extends { readonly name: string }>(tensors: readonly T[]): Tree<T> {
  const prefix = commonPrefix(tensors);
  const root: Draft<T> = { groups: new Map(), entries: [], order: [] };
  for (const item of tensors) {
    const parts = item.name.slice(prefix.length).split('.');
    const label = parts.pop() ?? item.name;
    let draft = root;
    for (const part of parts) {
      let next = draft.groups.get(part);
      if (!next) {
        next = { groups: new Map(), entries: [], order: [] };
        draft.groups.set(part, next);
        draft.order.push({ label: part, group: true });
      }
      draft = next;
    }
    draft.entries.push({ label, name: item.name, item });
    draft.order.push({ label, group: false });
  }
  return { prefix, children: childrenOf(root, prefix) };
}

/** The first part of the names, where all share it and none is it. */
function commonPrefix(tensors: readonly { readonly name: string }[]): string {
  const [first] = tensors;
  if (!first) return '';
  const part = /^[^.]+\./.exec(first.name)?.[0] ?? '';
  return tensors.length > 1 && part !== '' && tensors.every(({ name }) => name.startsWith(part)) ? part : '';
}

function childrenOf<T>(draft: Draft<T>, at: string): TreeNode<T>[] {
  const numbered = draft.order.every(({ label }) => /^\d+$/.test(label));
  const order = numbered ? [...draft.order].sort((a, b) => Number(a.label) - Number(b.label)) : draft.order;
  let entry = 0;
  const entries = numbered
    ? [...draft.entries].sort((a, b) => Number(a.label) - Number(b.label))
    : draft.entries;
  return order.map(({ label, group }) => {
    const inner = group ? draft.groups.get(label) : undefined;
    if (inner) return groupOf(inner, label, `${at}${label}`);
    const { name, item } = entries[entry++];
    return { kind: 'tensor', label, name, item };
  });
}

/** A module with one tensor only is that tensor, one with one module only is that module. */
function groupOf<T>(draft: Draft<T>, label: string, path: string): TreeNode<T> {
  const children = childrenOf(draft, `${path}.`);
  const [only] = children;
  if (children.length === 1) return { ...only, label: `${label}.${only.label}` };
  const items = children.flatMap((child) => (child.kind === 'tensor' ? [child.item] : child.items));
  return { kind: 'group', label, path, children, items };
}

export interface View<T> {
  /** Whether a group was opened or closed, by its path. */
  readonly opened: ReadonlyMap<string, boolean>;
  /** Whether the others are open. */
  readonly startsOpen: (group: Group<T>, level: number) => boolean;
  /** Which tensors are shown; groups that hold none are not, and those that do are open. Undefined: all. */
  readonly shows?: (item: T) => boolean;
}

/** The lines that are to be seen. */
export function rowsOf<T>({ children }: Tree<T>, view: View<T>): Row<T>[] {
  const rows: Row<T>[] = [];
  const walk = (nodes: readonly TreeNode<T>[], level: number): void => {
    for (const node of nodes) {
      if (node.kind === 'tensor') {
        if (view.shows?.(node.item) ?? true) rows.push({ node, level, expanded: false });
        continue;
      }
      if (view.shows && !node.items.some(view.shows)) continue;
      const expanded =
        view.shows !== undefined || (view.opened.get(node.path) ?? view.startsOpen(node, level));
      rows.push({ node, level, expanded });
      if (expanded) walk(node.children, level + 1);
    }
  };
  walk(children, 1);
  return rows;
}

/** All groups on the way to a tensor. */
export function pathTo<T>({ children }: Tree<T>, name: string): string[] {
  const walk = (nodes: readonly TreeNode<T>[]): string[] | undefined => {
    for (const node of nodes) {
      if (node.kind === 'tensor') {
        if (node.name === name) return [];
        continue;
      }
      const below = walk(node.children);
      if (below) return [node.path, ...below];
    }
    return undefined;
  };
  return walk(children) ?? [];
}
