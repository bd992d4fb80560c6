"""The chart of a calibration: one page that needs nothing else, for light screens and dark.

Both curves are over the threshold. What they show stands in a table below, for those who cannot see
them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Final, NamedTuple

from proxy.calibration.suggestion import Suggestion, steps
from proxy.semantic.budget.calibration import Point

_LEFT: Final = 0.70  # thresholds from here to 1
_WIDTH, _HEIGHT = 640, 240  # of a chart, in pixels of the page
_MARGIN: Final = (16, 16, 40, 56)  # top, right, bottom, left
_LINES: Final = 5
_NICE: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # what an axis of shares may end at

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1d2330; --soft: #5c6577; --page: #fff; --grid: #dfe3ea;
  --wrong: #b3261e; --hit: #1a5fb4; --budget: #7a4a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebf1; --soft: #a3acbd; --page: #15181e;
  --grid: #333a47; --wrong: #ff8a80; --hit: #8ab4f8; --budget: #f0b860; } }
body { margin: 2rem auto; max-width: 44rem; padding: 0 1rem; color: var(--ink);
  background: var(--page); font: 16px/1.5 system-ui, sans-serif; }
svg { width: 100%; height: auto; } svg text { fill: var(--soft); font-size: 12px; }
.grid { stroke: var(--grid); } .wrong { stroke: var(--wrong); } .hit { stroke: var(--hit); }
.curve { fill: none; stroke-width: 2; } .band { fill: var(--wrong); opacity: .18; }
.budget { stroke: var(--budget); stroke-dasharray: 6 4; } .chosen { stroke: var(--ink); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .15rem .8rem; text-align: right; border-bottom: 1px solid var(--grid); }
""".strip()


class _Axis(NamedTuple):
    """The share at the upper end of a chart."""

    top: float

    def y(self, share: float) -> float:
        upper, _, lower, _ = _MARGIN
        return upper + (_HEIGHT - upper - lower) * (1 - min(share, self.top) / self.top)


def page(suggestion: Suggestion, model: str, delta: float) -> str:
    """The page as HTML.

    Args:
        suggestion: with its curve.
        model: its name.
        delta: the error budget, wrong answers per hit.
    """
    points = steps(suggestion.points)
    said = _said(suggestion, delta)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>Calibration of {escape(model)}</title>",
            f"<style>{_STYLE}</style></head><body><main>",
            f"<h1>Calibration of {escape(model)}</h1>",
            f"<p>{escape(said)}</p>",
            "<h2>Wrong answers per hit</h2>",
            _wrong_chart(points, suggestion.threshold, delta),
            "<h2>Hits per question</h2>",
            _hit_chart(points, suggestion.threshold),
            "<h2>In numbers</h2>",
            _table(points),
            "</main></body></html>",
            "",
        ]
    )


def _said(suggestion: Suggestion, delta: float) -> str:
    expected, threshold = suggestion.expected, suggestion.threshold
    if expected is None or threshold is None:
        return f"No threshold keeps to {delta:.1%} wrong answers per hit on this file."
    how = "proves" if suggestion.proven else "does not yet prove"
    return (
        f"Suggested threshold: {threshold:.4f}. Of {suggestion.questions:,} questions, "
        f"{expected.hit_ratio:.1%} would be hits and {expected.wrong_per_hit:.2%} of these wrong "
        f"({expected.low:.2%} to {expected.high:.2%}, 95 times in 100); the file {how} that it "
        f"keeps to {delta:.1%}."
    )


def _wrong_chart(points: Sequence[Point], threshold: float | None, delta: float) -> str:
    axis = _axis([point.high for point in points if point.hits] + [2 * delta])
    band = [(point.threshold, point.high) for point in points]
    band += [(point.threshold, point.low) for point in reversed(points)]
    return _chart(
        "Wrong answers per hit over the threshold, with bounds that hold the true share 95 times "
        f"in 100, and the error budget of {delta:.1%}.",
        axis,
        [
            f'<polygon class="band" points="{_path(band, axis)}"/>',
            _across("budget", axis.y(delta)),
            _curve("wrong", points, axis, lambda point: point.wrong_per_hit),
        ],
        threshold,
    )


def _hit_chart(points: Sequence[Point], threshold: float | None) -> str:
    axis = _axis([point.hit_ratio for point in points])
    return _chart(
        "Hits per question over the threshold.",
        axis,
        [_curve("hit", points, axis, lambda point: point.hit_ratio)],
        threshold,
    )


def _chart(title: str, axis: _Axis, drawn: Sequence[str], threshold: float | None) -> str:
    upper, _, lower, left = _MARGIN
    parts = []
    for line in range(_LINES + 1):
        share = axis.top * line / _LINES
        y = axis.y(share)
        parts.append(
            _across("grid", y)
            + f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{share:.3g}</text>'
        )
    for hundredths in range(70, 101, 5):
        x = _x(hundredths / 100)
        parts.append(
            f'<text x="{x:.1f}" y="{_HEIGHT - lower + 20}" text-anchor="middle">'
            f"{hundredths / 100:.2f}</text>"
        )
    parts += drawn
    if threshold is not None:
        x = _x(threshold)
        parts.append(
            f'<line class="chosen" x1="{x:.1f}" x2="{x:.1f}" y1="{upper}" y2="{_HEIGHT - lower}"/>'
        )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _across(name: str, y: float) -> str:
    _, right, _, left = _MARGIN
    return f'<line class="{name}" x1="{left}" x2="{_WIDTH - right}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _curve(name: str, points: Sequence[Point], axis: _Axis, value: Callable[[Point], float]) -> str:
    path = _path([(point.threshold, value(point)) for point in points], axis)
    return f'<polyline class="curve {name}" points="{path}"/>'


def _path(places: Sequence[tuple[float, float]], axis: _Axis) -> str:
    return " ".join(f"{_x(threshold):.1f},{axis.y(share):.1f}" for threshold, share in places)


def _axis(shares: Sequence[float]) -> _Axis:
    """One that ends at the least nice share that holds nearly all; few hits have wild bounds."""
    ranked = sorted(shares)
    most = ranked[int(0.8 * (len(ranked) - 1))] if ranked else 1.0
    return _Axis(next((nice for nice in _NICE if nice >= most), 1.0))


def _x(threshold: float) -> float:
    _, right, _, left = _MARGIN
    return left + (_WIDTH - left - right) * (threshold - _LEFT) / (1 - _LEFT)


def _table(points: Sequence[Point]) -> str:
    heads = ("Threshold", "Hits", "Per question", "Wrong per hit", "at least", "at most")
    rows = [
        f"<tr><td>{point.threshold:.2f}</td><td>{point.hits}</td><td>{point.hit_ratio:.1%}</td>"
        f"<td>{point.wrong_per_hit:.2%}</td><td>{point.low:.2%}</td><td>{point.high:.2%}</td></tr>"
        for point in points
    ]
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
