"""How pages look: one style sheet, for light and dark screens, narrow ones, and paper."""

__all__ = ["STYLE"]

STYLE = """\
:root { color-scheme: light dark; --text: #1b1b1b; --ground: #fff; --faint: #555; --line: #b8b8b8;
  --box: #f3f5f7; --accent: #0b5394; --bad: #a61b1b; --mark: #fff1a8; }
@media (prefers-color-scheme: dark) { :root { --text: #e8e8e8; --ground: #16181b; --faint: #b4b4b4;
  --line: #55595e; --box: #22262a; --accent: #8ec5ff; --bad: #ff9c9c; --mark: #5c4f00; } }
* { box-sizing: border-box; }
body { margin: 0; color: var(--text); background: var(--ground);
  font: 1rem/1.5 system-ui, sans-serif; }
main, footer { max-width: 75rem; margin: 0 auto; padding: 0 1rem; }
h1, h2, h3, p, summary { overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { font-size: 1.25rem; margin-top: 2rem; }
h3 { font-size: 1.05rem; }
.wide { overflow-x: auto; margin: 0.75rem 0; }
.wide:focus-visible, summary:focus-visible { outline: 3px solid var(--accent); }
pre, code, td, .number { font-family: ui-monospace, "DejaVu Sans Mono", monospace; }
pre { margin: 0; padding: 0.6rem; background: var(--box); font-size: 0.85rem; line-height: 1.4; }
mark { color: inherit; background: var(--mark); }
table { border-collapse: collapse; font-size: 0.9rem; }
caption { text-align: left; white-space: nowrap; font-weight: 600; padding: 0.3rem 0; }
th, td { border: 1px solid var(--line); padding: 0.25rem 0.6rem; text-align: left;
  vertical-align: top; white-space: nowrap; }
td.words { font-family: inherit; white-space: normal; min-width: 14rem; }
thead th { background: var(--box); }
svg { max-width: none; display: block; } svg text { fill: var(--text); font-size: 13px; }
svg rect { fill: var(--box); stroke: var(--line); }
.outcome { font-size: 1.15rem; font-weight: 600; color: var(--accent); }
.fault { color: var(--bad); }
footer { color: var(--faint); font-size: 0.85rem; border-top: 1px solid var(--line);
  margin-top: 2rem; padding-bottom: 2rem; }
@media print { .wide { overflow: visible; } details > * { display: block; } }
"""
