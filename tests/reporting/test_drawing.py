from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest
from support.reported import told

from proxy.model.errors import ConfigError
from proxy.reporting.drawing import need_matplotlib, png, svg
from proxy.reporting.series import Chart, Kind, Line, Unit, charts

AT = tuple(datetime(2026, 5, 4, tzinfo=UTC) + timedelta(hours=n) for n in range(4))
CHARTS = {chart.slug: chart for chart in charts(told())}


def chart(kind: Kind, unit: Unit, *values: float | None) -> Chart:
    places = ("one", "two", "three", "four") if kind is Kind.BARS else AT
    return Chart("a", "A", "It shows.", kind, unit, places, (Line("x", values), Line("y", values)))


def texts(drawn: str) -> list[str]:
    root = ET.fromstring(drawn)  # the proxy's own
    return ["".join(each.itertext()).strip() for each in root.iter() if each.tag.endswith("text")]


@pytest.mark.parametrize("slug", CHARTS)
def test_every_chart_becomes_an_svg_with_its_lines_named(slug: str) -> None:
    drawn = svg(CHARTS[slug])

    assert drawn.startswith("<svg ")
    assert f'aria-labelledby="chart-{slug}"' in drawn
    assert 'role="img"' in drawn
    assert {line.name for line in CHARTS[slug].lines} <= set(texts(drawn))


@pytest.mark.parametrize("slug", ["hit-rate", "models"])
def test_a_chart_becomes_a_png(slug: str) -> None:
    drawn = png(CHARTS[slug])

    assert drawn.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = (int.from_bytes(drawn[at : at + 4]) for at in (16, 20))
    assert 1_000 < width < 1_500
    assert 200 < height < 1_000


@pytest.mark.parametrize(("kind", "unit"), list(zip(Kind, Unit, strict=True)))
def test_values_that_are_not_known_are_left_out(kind: Kind, unit: Unit) -> None:
    assert svg(chart(kind, unit, None, 0.5, None, 0.25)).startswith("<svg ")


@pytest.mark.parametrize(
    ("unit", "value", "tick"),
    [
        (Unit.SHARE, 1.0, "100 %"),
        (Unit.SECONDS, 0.001, "1 ms"),
        (Unit.COUNT, 3_000_000.0, "3 M"),
        (Unit.MONEY, 2.0, "2"),
    ],
)
def test_axes_have_units(unit: Unit, value: float, tick: str) -> None:
    assert tick in texts(svg(chart(Kind.BARS, unit, 0.0, value / 2, value, 0.0)))


def test_a_name_is_not_read_as_mathematics_and_none_is_left_out() -> None:
    odd = Chart(
        "a", "A", "It shows.", Kind.BARS, Unit.COUNT, ("$x^2$", "模型"),
        (Line("_hidden", (1.0, 2.0)), Line("<b>&$", (1.0, 2.0))),
    )  # fmt: skip
    said = texts(svg(odd))

    assert {"$x^2$", "模型", "\N{ZERO WIDTH SPACE}_hidden", "<b>&$"} <= set(said)
    assert png(odd)


def test_a_missing_matplotlib_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)

    with pytest.raises(ConfigError, match=r"the extra `report`: pip install 'sidecache\[report\]'"):
        need_matplotlib()
