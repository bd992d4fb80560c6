"""A profile as a flame graph: one SVG image that needs nothing, not even a script.

Each box is a function, as wide as the share of samples it was seen in, on top of who called it
(Gregg: The Flame Graph, ACM Queue 14(2), 2016). Its full name, and its share, show when the pointer
rests on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from xml.sax.saxutils import escape

from proxy.profiling.stacks import Profile

_WIDTH: Final = 1200  # pixels
_MARGIN: Final = 10
_ROW: Final = 18
_LETTER: Final = 6.6  # pixels that a letter takes, about
_LEAST: Final = 0.4  # pixels; a narrower box is left out, with all above it
_HEAD: Final = 64
_FRAME: Final = re.compile(r"(?P<name>.*) \((?P<file>[^()]*?)(?::\d+)?\)")
_ROOMS: Final = (  # the hue of what stands in a folder, in degrees; the first that fits counts
    ("proxy/wire", 200), ("proxy/dialects", 260), ("proxy/tiers", 130), ("proxy/semantic", 320),
    ("proxy/upstream", 20), ("proxy/downstream", 220), ("proxy/flight", 170), ("proxy/", 150),
    ("aiohttp", 40), ("uvloop", 60), ("asyncio", 60), ("redis", 0), ("numpy", 290),
)  # fmt: skip
_ELSE: Final = 50

_STYLE: Final = (
    "text{font:12px system-ui,sans-serif;fill:#1b1f24}.title{font-size:17px;font-weight:600}"
    ".note{fill:#57606a}.paper{fill:#fff}rect.box{stroke:#fff;stroke-width:.6}"
    "rect.box:hover{stroke:#000}@media(prefers-color-scheme:dark){.paper{fill:#0d1117}"
    ".title{fill:#f0f3f6}.note{fill:#9198a1}rect.box{stroke:#0d1117}rect.box:hover{stroke:#fff}}"
)


@dataclass(slots=True)
class _Box:
    """A function where it was called from one place, and those it called."""

    name: str
    count: int = 0
    above: dict[str, _Box] = field(default_factory=dict)


_Drawn = tuple[_Box, int, float, float]


def flame_graph(profile: Profile, title: str) -> str:
    """The image, as text."""
    root = _tree(profile)
    drawn = list(_boxes(root, 0, _MARGIN, (_WIDTH - 2 * _MARGIN) / max(1, root.count)))
    rows = 1 + max((depth for _, depth, _, _ in drawn), default=0)
    height = _HEAD + rows * _ROW + _MARGIN
    total = max(1, root.count)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<rect class="paper" width="{_WIDTH}" height="{height}"/>',
        f'<text class="title" x="{_MARGIN}" y="26">{escape(title)}</text>',
        f'<text class="note" x="{_MARGIN}" y="46">{escape(_note(profile))}</text>',
    ]
    for box, depth, x, width in drawn:
        y = height - _MARGIN - (depth + 1) * _ROW
        share = f"{100 * box.count / total:.1f} %, {box.count} samples"
        parts.append(
            f"<g><title>{escape(box.name)}: {share}</title>"
            f'<rect class="box" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_ROW - 1}" rx="2"'
            f' fill="{_colour(box.name)}"/>{_label(box.name, x, y, width)}</g>'
        )
    return "".join([*parts, "</svg>"])


def _tree(profile: Profile) -> _Box:
    root = _Box("all that was done")
    for stack, count in profile.stacks.items():
        root.count += count
        box = root
        for frame in stack:
            box = box.above.setdefault(frame, _Box(frame))
            box.count += count
    if profile.idle:
        root.count += profile.idle
        root.above["waiting for something to do"] = _Box(
            "waiting for something to do", profile.idle
        )
    return root


def _boxes(
    box: _Box, depth: int, x: float, unit: float
) -> Iterator[tuple[_Box, int, float, float]]:
    """Each box with its row, its left edge and its width, in pixels."""
    width = box.count * unit
    if width < _LEAST:
        return
    yield box, depth, x, width
    for name in sorted(box.above):
        above = box.above[name]
        yield from _boxes(above, depth + 1, x, unit)
        x += above.count * unit


def _label(frame: str, x: float, y: float, width: float) -> str:
    parsed = _FRAME.fullmatch(frame)
    name = parsed["name"] if parsed else frame
    letters = int((width - 6) / _LETTER)
    if letters < 3:  # noqa: PLR2004 - fewer tell nothing
        return ""
    shown = name if len(name) <= letters else f"{name[: letters - 1]}…"
    return f'<text x="{x + 3:.1f}" y="{y + 13}">{escape(shown)}</text>'


def _colour(frame: str) -> str:
    parsed = _FRAME.fullmatch(frame)
    if parsed is None:
        return "hsl(0 0% 80%)"
    hue = next((hue for room, hue in _ROOMS if room in parsed["file"]), _ELSE)
    light = 66 + sum(parsed["name"].encode()) % 12  # so that neighbours can be told apart
    return f"hsl({hue} 62% {light}%)"


def _note(profile: Profile) -> str:
    wanted = max(1, round(profile.seconds * profile.hz))
    return (
        f"{profile.seconds:g} s, {profile.hz} samples a second; the event loop waited for"
        f" {100 * profile.idle / wanted:.0f} % of them; all threads; callers below"
    )
