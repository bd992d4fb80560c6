"""What a case came to: a table, what was promised of it, and notes; as text, Markdown or JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

Cell = float | None  # None: there is no such figure

AMONG_OTHERS: Final = 0.1  # of the time; from then on the clock says little


@dataclass(frozen=True, slots=True)
class Claim:
    """What a figure should be."""

    what: str
    figure: float
    bound: float
    least: bool = False  # the bound is the least, not the most, that it should be
    unit: str = ""

    @property
    def kept(self) -> bool:
        return self.figure >= self.bound if self.least else self.figure <= self.bound

    def __str__(self) -> str:
        how = "at least" if self.least else "at most"
        unit = f" {self.unit}" if self.unit else ""
        said = f"{self.what}: {number(self.figure)}{unit} ({how} {number(self.bound)}{unit})"
        return said if self.kept else f"{said}: MISSED"


@dataclass(frozen=True, slots=True)
class Table:
    """Figures by row."""

    name: str  # of the case, in one word
    title: str
    columns: Sequence[str]  # what the figures are, units included
    rows: Sequence[tuple[str, Sequence[Cell]]]
    claims: Sequence[Claim] = ()
    notes: Sequence[str] = field(default=())

    def text(self) -> str:
        """For a terminal."""
        heads = ["", *self.columns]
        cells = [[name, *map(number, figures)] for name, figures in self.rows]
        widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
        lines = [self.title]
        for row in [heads, *cells]:
            first, *others = (
                f"{cell:>{width}}" if at else f"{cell:<{width}}"
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            lines.append("  ".join([f"  {first}", *others]).rstrip())
        lines += [f"  {claim}" for claim in self.claims]
        lines += [f"  ({note})" for note in self.notes]
        return "\n".join(lines)

    def markdown(self) -> str:
        """For a page."""
        lines = [f"**{self.title}**", ""]
        lines.append(f"| | {' | '.join(self.columns)} |")
        lines.append(f"|---|{'---:|' * len(self.columns)}")
        for name, figures in self.rows:
            lines.append(f"| {name} | {' | '.join(map(number, figures))} |")
        points = [*map(str, self.claims), *self.notes]
        return "\n".join([*lines, "", *(f"- {point}" for point in points)]).rstrip()

    def as_json(self) -> dict[str, object]:
        """With whether each claim is kept."""
        told = asdict(self)
        told["claims"] = [{**asdict(claim), "kept": claim.kept} for claim in self.claims]
        return told


def from_json(told: Mapping[str, object]) -> Table:
    """As it was told."""
    fields = dict(told)
    claims = [
        Claim(**{name: value for name, value in claim.items() if name != "kept"})
        for claim in fields.pop("claims")  # type: ignore[attr-defined] # a list of objects
    ]
    rows = [(name, figures) for name, figures in fields.pop("rows")]  # type: ignore[attr-defined] # as above
    return Table(**fields, rows=rows, claims=claims)  # type: ignore[arg-type] # as above


def number(value: Cell) -> str:
    """To three digits or so, which is what can be told from noise."""
    if value is None:
        return "-"
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 else 3
    return f"{value:,.0f}" if value == int(value) else f"{value:,.{digits}f}"


def company(starved: float) -> list[str]:
    """A note where others had the core of the server that ran worst for so much of the time."""
    if starved < AMONG_OTHERS:
        return []
    share = f"for up to {starved:.0%} of the time"
    return [f"others had the server's core {share}: look at processor time and ratios, not rates"]
