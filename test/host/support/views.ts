import { lens } from './extension';

/** A row of the Runs view, as a person sees it. */
export interface RunsRow {
  readonly path: string;
  readonly label: string;
  readonly description: string;
  /** Words that the menus go by: run, active, resumable, results. */
  readonly context: string;
}

export async function rowsOfRuns(): Promise<RunsRow[]> {
  const { runsView } = await lens();
  return (await runsView.getChildren()).map((node) => {
    const item = runsView.getTreeItem(node);
    return {
      path:
        node.kind === 'run'
          ? node.run.path
          : node.kind === 'pending'
            ? (node.work.target ?? '')
            : node.group.path,
      label: typeof item.label === 'string' ? item.label : (item.label?.label ?? ''),
      description: typeof item.description === 'string' ? item.description : '',
      context: item.contextValue ?? '',
    };
  });
}
