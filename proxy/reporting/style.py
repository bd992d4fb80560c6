"""How the page looks: calm, for light screens, dark ones and paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from proxy.reporting.drawing import DARK, LIGHT


def _variables(colours: Mapping[str, str]) -> str:
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())


STYLE: Final = f"""
:root {{ color-scheme: light dark; --panel: #f5f7fa; --act: #b3261e; --change: #8a5a00;
  --note: #1a5fb4; {_variables(LIGHT)} }}
@media (prefers-color-scheme: dark) {{ :root {{ --panel: #1d2129; --act: #ff8a80; --change: #f0b860;
  --note: #8ab4f8; {_variables(DARK)} }} }}
@media print {{ :root {{ color-scheme: light; --panel: #fff; --act: #b3261e; --change: #8a5a00;
  --note: #1a5fb4; {_variables(LIGHT)} }}
  nav, .skip, details {{ display: none; }} figure, li, tr {{ break-inside: avoid; }}
  h2 {{ break-after: avoid; }} body {{ margin: 0; max-width: none; font-size: 11pt; }}
  .wide {{ overflow: visible; }} * {{ print-color-adjust: exact; }} }}
* {{ box-sizing: border-box; }}
body {{ margin: 2rem auto 4rem; max-width: 60rem; padding: 0 1.25rem; color: var(--ink);
  background: var(--page); font: 16px/1.55 system-ui, sans-serif; overflow-wrap: anywhere; }}
h1 {{ font-size: 1.9rem; margin: 0; }} h2 {{ margin: 2.6rem 0 .8rem; font-size: 1.35rem; }}
h3 {{ margin: 0 0 .3rem; font-size: 1rem; }} p {{ margin: .4rem 0; max-width: 46rem; }}
a {{ color: var(--note); }}
:focus-visible {{ outline: 2px solid var(--note); outline-offset: 2px; }}
.soft {{ color: var(--soft); }} .skip {{ position: absolute; left: -99rem; }}
.skip:focus {{ position: static; }}
nav ul {{ display: flex; flex-wrap: wrap; gap: .2rem 1rem; list-style: none; padding: 0; }}
dl.cards {{ display: grid; gap: .75rem;
  grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); }}
dl.cards div {{ background: var(--panel); border: 1px solid var(--grid); border-radius: .6rem;
  padding: .7rem .9rem; }}
dt {{ color: var(--soft); font-size: .85rem; }} dd {{ margin: 0; }}
dl.cards dd {{ font-size: 1.35rem; font-weight: 600; font-variant-numeric: tabular-nums; }}
dl.facts {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr));
  gap: .6rem 1.5rem; }}
ol.findings {{ list-style: none; padding: 0; display: grid; gap: .75rem; }}
ol.findings li {{ background: var(--panel); border: 1px solid var(--grid);
  border-left: .3rem solid var(--note); border-radius: .5rem; padding: .8rem 1rem; }}
li.act {{ border-left-color: var(--act) !important; }}
li.change {{ border-left-color: var(--change) !important; }}
.weight {{ font-size: .75rem; text-transform: uppercase; letter-spacing: .05em;
  color: var(--note); }}
.act .weight {{ color: var(--act); }} .change .weight {{ color: var(--change); }}
.settings {{ color: var(--soft); }} code {{ font-size: .9em; }}
figure {{ margin: 1.4rem 0; border: 1px solid var(--grid); border-radius: .6rem; padding: 1rem; }}
figure svg {{ width: 100%; height: auto; display: block;
  stroke-linejoin: round; stroke-linecap: butt;
  font-family: system-ui, sans-serif; }}
figcaption {{ margin-top: .6rem; font-size: .95rem; }} summary {{ cursor: pointer; }}
details {{ margin-top: .5rem; font-size: .9rem; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }}
caption {{ text-align: left; color: var(--soft); padding: .2rem 0 .4rem; }}
th, td {{ padding: .25rem .8rem .25rem 0; text-align: right; border-bottom: 1px solid var(--grid);
  vertical-align: top; overflow-wrap: normal; }}
thead th {{ color: var(--soft); font-weight: 600; }} th[scope=row] {{ font-weight: 500; }}
th[scope=row], th.words, td.words {{ text-align: left; overflow-wrap: anywhere; }}
""".strip()
