"""Charts as pictures: SVG that takes the colours of the page it stands in, and PNG.

By matplotlib, the extra ``report``. In the SVG each colour of the drawing is a variable of the
page's style, so that one picture serves light screens, dark ones and paper; texts are texts.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy import figures
from proxy.model.errors import ConfigError
from proxy.reporting.series import Chart, Kind, Unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH_IN: Final = 7.6
_HEIGHT_IN: Final = 2.9
_BAR_IN: Final = 0.42
_DPI: Final = 160
_DAY_S: Final = 86400
_SERIES: Final = 9
_LEAST_LOG_S: Final = 1e-6  # below it, nothing is measured

# What the page calls its colours, and what stands for them in a drawing until it has become SVG.
_ROLES: Final = ("ink", "soft", "grid", *(f"c{number}" for number in range(1, _SERIES + 1)))
_STAND_INS: Final = {role: f"#0101{number:02x}" for number, role in enumerate(_ROLES, 0x10)}
LIGHT: Final[Mapping[str, str]] = {
    "page": "#ffffff", "ink": "#1d2330", "soft": "#5c6577", "grid": "#dfe3ea",
    "c1": "#1a5fb4", "c2": "#2b8a6b", "c3": "#7b5ea7", "c4": "#c2571a", "c5": "#8a8f9c",
    "c6": "#b8860b", "c7": "#b3261e", "c8": "#5e2750", "c9": "#3d7ea6",
}  # fmt: skip
DARK: Final[Mapping[str, str]] = {
    "page": "#15181e", "ink": "#e8ebf1", "soft": "#a3acbd", "grid": "#333a47",
    "c1": "#8ab4f8", "c2": "#7bd3b0", "c3": "#c5b0ee", "c4": "#f5a97f", "c5": "#9aa3b5",
    "c6": "#f0cd6e", "c7": "#ff8a80", "c8": "#e0a3d2", "c9": "#86c7e8",
}  # fmt: skip
_FIXED: Final = {  # what has the same colour in every chart
    "hit": "c1", "stale": "c9", "coalesced": "c2", "miss": "c4", "bypass": "c5", "degraded": "c6",
    "error": "c7", "shed": "c8",
    "read": "c9", "key": "c3", "lookup": "c1", "meaning": "c6", "flight": "c4", "deliver": "c5",
}  # fmt: skip


class Picture(NamedTuple):
    """One chart, drawn."""

    chart: Chart
    svg: str  # an <svg> element, to stand in a page


def need_matplotlib() -> None:
    """Raises ConfigError, which says what to install, if charts cannot be drawn."""
    try:
        import matplotlib.figure  # noqa: F401, PLC0415 - takes half a second, and may not be there
    except ImportError as error:
        raise ConfigError(
            "a report needs matplotlib, the extra `report`: pip install 'sidecache[report]'; or"
            " save what it is made of with --save FILE, and make it elsewhere with --from FILE"
        ) from error


def svg(chart: Chart) -> str:
    """``chart`` as an <svg> element that asks for nothing outside itself."""
    with _drawn(chart, _STAND_INS) as figure:
        written = io.StringIO()
        figure.savefig(written, format="svg", transparent=True)
    return _for_a_page(written.getvalue(), chart)


def png(chart: Chart) -> bytes:
    """``chart`` as a PNG, on white."""
    with _drawn(chart, LIGHT) as figure:
        written = io.BytesIO()
        figure.savefig(written, format="png", dpi=_DPI, facecolor=LIGHT["page"])
    return written.getvalue()


# -- drawing -----------------------------------------------------------------------------------


@contextmanager
def _drawn(chart: Chart, colours: Mapping[str, str]) -> Iterator[Figure]:
    """The figure, with the settings that are to hold until it is written."""
    import matplotlib as mpl  # noqa: PLC0415 - as above
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    bars = chart.kind is Kind.BARS
    height = 1.1 + _BAR_IN * len(chart.places) if bars else _HEIGHT_IN
    settings = mpl.rc_context(
        {
            "font.size": 9.0,
            "font.family": "sans-serif",
            "text.color": colours["ink"],
            "text.parse_math": False,  # a dollar in a name is a dollar
            "axes.edgecolor": colours["grid"],
            "axes.labelcolor": colours["soft"],
            "xtick.color": colours["soft"],
            "ytick.color": colours["soft"],
            "text.usetex": False,
            "axes.facecolor": "none",
            "timezone": "UTC",
            "svg.fonttype": "none",
            "svg.hashsalt": chart.slug,
        }
    )
    with warnings.catch_warnings(), settings:
        warnings.simplefilter("ignore")  # a name in a script that the font has not
        figure = Figure(figsize=(_WIDTH_IN, height), layout="constrained")
        axes = figure.subplots()
        if bars:
            _bars(axes, chart, colours)
        else:
            _over_time(axes, chart, colours)
        _furnish(axes, chart, colours)
        yield figure


def _over_time(axes: Axes, chart: Chart, colours: Mapping[str, str]) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter  # noqa: PLC0415

    # Days since the epoch, which is what matplotlib counts in.
    at = [place.timestamp() / _DAY_S for place in chart.places if isinstance(place, datetime)]
    used = [colours[_colour(line.name, number)] for number, line in enumerate(chart.lines)]
    if chart.kind is Kind.STACKED:
        rows = [[value or 0.0 for value in line.values] for line in chart.lines]
        axes.stackplot(at, *rows, labels=_labels(chart), colors=used, linewidth=0)
        axes.set_ylim(bottom=0, top=1 if chart.unit is Unit.SHARE else None)
    else:
        log = chart.kind is Kind.LOG_LINES
        for name, line, colour in zip(_labels(chart), chart.lines, used, strict=True):
            values = [_positive(value) if log else value for value in line.values]
            known = [float("nan") if value is None else value for value in values]
            axes.plot(at, known, label=name, color=colour, linewidth=1.6)
        if log:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
    axes.set_xlim(at[0], at[-1])
    locator = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call] # no types
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call] # as above
    axes.yaxis.set_major_formatter(lambda value, _place: _tick(chart, value))
    axes.grid(axis="y", color=colours["grid"], linewidth=0.8)
    axes.set_axisbelow(True)


def _bars(axes: Axes, chart: Chart, colours: Mapping[str, str]) -> None:
    rows = list(range(len(chart.places)))
    left = [0.0] * len(rows)
    for number, (name, line) in enumerate(zip(_labels(chart), chart.lines, strict=True)):
        values = [value or 0.0 for value in line.values]
        axes.barh(rows, values, 0.62, left, label=name, color=colours[_colour(line.name, number)])
        left = [begin + value for begin, value in zip(left, values, strict=True)]
    axes.set_yticks(rows, [str(place) for place in chart.places])
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0, labelcolor=colours["ink"])
    axes.xaxis.set_major_formatter(lambda value, _place: _tick(chart, value))
    if chart.unit is Unit.SHARE:
        axes.set_xlim(0, 1)
    axes.grid(axis="x", color=colours["grid"], linewidth=0.8)
    axes.set_axisbelow(True)


def _furnish(axes: Axes, chart: Chart, colours: Mapping[str, str]) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(which="both", color=colours["grid"])
    if chart.lines:
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1.01), ncols=min(len(chart.lines), 6),
            frameon=False, borderaxespad=0, handlelength=1.1, handleheight=0.8, columnspacing=1.4,
        )  # fmt: skip


def _labels(chart: Chart) -> list[str]:
    """What the legend says; a name that begins with "_" would be left out of it."""
    return [f"\N{ZERO WIDTH SPACE}{n}" if n.startswith("_") else n for n in _names(chart)]


def _names(chart: Chart) -> Sequence[str]:
    return [line.name for line in chart.lines]


def _colour(name: str, number: int) -> str:
    return _FIXED.get(name) or f"c{number % _SERIES + 1}"


def _positive(value: float | None) -> float | None:
    return None if value is None else max(value, _LEAST_LOG_S)


def _tick(chart: Chart, value: float) -> str:
    match chart.unit:
        case Unit.SHARE:
            return f"{value * 100:.0f} %"
        case Unit.SECONDS:
            return figures.duration(value) if value > 0 else "0"
        case Unit.COUNT:
            return figures.rough(value)
        case Unit.MONEY:
            return f"{value:,.4g}"


# -- from a drawing to a page ------------------------------------------------------------------

_TAG: Final = re.compile(r"<[^>]*>")  # texts, which come from outside, stay as they are
_COLOUR: Final = re.compile(r"#0101([0-9a-f]{2})\b")
_NAMESPACE: Final = re.compile(r'\s(?:xmlns(?::xlink)?|version)="[^"]*"')
_NOT_SHOWN: Final = re.compile(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", re.DOTALL)
_ID: Final = re.compile(r'\sid="([^"]*)"')
_REFERENCE: Final = re.compile(r'url\(#([^)]*)\)|xlink:href="#([^"]*)"')
_FONT: Final = re.compile(r"font: ([\d.]+)px [^;\"]*")


def _for_a_page(drawn: str, chart: Chart) -> str:
    """What of the file ``drawn`` an HTML page needs: no prologue, colours and ids of the page's.

    Several pictures stand in one page, so the ids that are referred to get names of their own, and
    the others go.
    """
    body = drawn[drawn.index("<svg") :]
    head_end = body.index(">")
    tag = re.sub(r'\s(?:width|height)="[^"]*"', "", _NAMESPACE.sub("", body[:head_end]))
    rest = _NOT_SHOWN.sub("", body[head_end:])
    mine = hashlib.sha256(chart.slug.encode()).hexdigest()[:6]
    used = {one or other for one, other in _REFERENCE.findall(rest)}

    def mended(found: re.Match[str]) -> str:
        tag = _COLOUR.sub(lambda colour: f"var(--{_ROLES[int(colour[1], 16) - 0x10]})", found[0])
        tag = _FONT.sub(r"font-size: \1px", tag)
        tag = _ID.sub(lambda name: f' id="{mine}-{name[1]}"' if name[1] in used else "", tag)
        return tag.replace("url(#", f"url(#{mine}-").replace('xlink:href="#', f'href="#{mine}-')

    rest = _TAG.sub(mended, rest)
    return f'{tag} role="img" aria-labelledby="chart-{chart.slug}"{rest}'.strip()
