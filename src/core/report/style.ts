/** The report's style sheet: readable in light and dark, and on paper. */
export const STYLE = `
:root { color-scheme: light dark; --ink: #1c2126; --quiet: #5d6771; --line: #d9dee3; --paper: #ffffff; --card: #f4f6f8; --accent: #b5470c; --right: #1b7f4d; --wrong: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7eaee; --quiet: #9aa4ae; --line: #353c44; --paper: #15191e; --card: #1e242b; --accent: #ffab70; --right: #5fd39b; --wrong: #ff8b82; } }
body { margin: 0 auto; max-width: 78rem; padding: 2rem 1.5rem 4rem; font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
h1 { font-size: 1.9rem; line-height: 1.2; margin: .2rem 0 .6rem; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .8rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
h3 small, th small, td small { font-weight: 400; color: var(--quiet); }
.brand { color: var(--accent); font-weight: 600; letter-spacing: .04em; margin: 0; }
.warning { color: var(--wrong); font-weight: 600; }
.hint, figcaption, .card span, .card small { color: var(--quiet); font-size: .9rem; }
.hint { max-width: 60rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: 1rem; margin-top: 1.5rem; }
.card { background: var(--card); border-radius: .6rem; padding: 1rem 1.2rem; display: flex; flex-direction: column; }
.card strong { font-size: 2rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.notes { border-left: 3px solid var(--accent); padding: .1rem 1rem; margin-top: 1.5rem; max-width: 60rem; }
table { border-collapse: collapse; width: 100%; font-size: .95rem; }
th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { color: var(--quiet); font-weight: 500; font-size: .85rem; }
tbody th { font-weight: 500; }
.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
.plain th { width: 8rem; color: var(--quiet); }
.plain td { overflow-wrap: anywhere; }
.right { color: var(--right); } .wrong { color: var(--wrong); }
figure { margin: .3rem 0 1rem; }
figure img { width: 100%; border-radius: .5rem; display: block; background: #000; }
a { color: var(--accent); }
summary { cursor: pointer; }
@media print { body { max-width: none; } details { display: block; } }
`;
