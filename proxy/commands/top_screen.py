"""What ``top`` shows: rates, and the last requests, each with its reason."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from proxy.commands.asking import Event
from proxy.commands.following import Found, Lost, News
from proxy.commands.said import Said, flag, number, text
from proxy.commands.screen import styled, table
from proxy.commands.stats import STYLES
from proxy.figures import count, duration, money, share, size
from proxy.model.outcome import OUTCOMES

_KEPT: Final = 200  # requests
_WINDOW_S: Final = 10.0  # over which rates are taken
_MOST_MOMENTS: Final = 100_000
_MOST_REASONS: Final = 500
_ROWS_BESIDES: Final = 12  # of the screen, for all but requests
_FEWEST: Final = 5
_REASONS: Final = 3


class Screen:
    """Takes the news and draws them.

    Args:
        url: whose news.
        clock: seconds, monotonic.
    """

    def __init__(self, url: str, clock: Callable[[], float]) -> None:
        self.dropped = 0
        self._url = url
        self._clock = clock
        self._requests: deque[Said] = deque(maxlen=_KEPT)
        self._moments: deque[tuple[float, str, int]] = deque(maxlen=_MOST_MOMENTS)
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._stats: Said = {}
        self._lost = ""

    def take(self, news: News) -> None:
        """Have ``news`` in what is shown."""
        match news:
            case Lost(why):
                self._lost = why
            case Found():
                self._lost = ""
            case Event("request", said):
                outcome = text(said, "outcome")
                self._requests.appendleft(said)
                requests = 1 + repeats(said)
                self._moments.append((self._clock(), outcome, requests))
                reason = outcome, text(said, "reason")
                if reason in self._reasons or len(self._reasons) < _MOST_REASONS:
                    self._reasons[reason] += requests
            case Event("stats", said):
                self._stats = said
            case Event("dropped", said):
                self.dropped += int(number(said, "count") or 0)
            case _:
                pass

    def draw(self, height: int) -> RenderableType:
        """All of it, in so many lines."""
        rows = max(_FEWEST, height - _ROWS_BESIDES)
        return Group(self._head(), self._rates(), self._table(rows), self._foot())

    def _head(self) -> Text:
        stats = self._stats
        saved = number(stats, "saved", "money")
        told = [
            f"{count(number(stats, 'requests', 'total'))} requests",
            f"{share(number(stats, 'hit_ratio_recent'))} hits of late",
            f"{duration(number(stats, 'saved', 'seconds'))} saved",
            money(saved, text(stats, "saved", "currency")) + " saved" if saved else "",
            f"{count(number(stats, 'in_progress'))} in progress",
            f"loop lag {duration(number(stats, 'loop_lag_p99_s'))}",
        ]
        head = styled(f"{self._url}  ", "bold")
        head.append_text(styled("  ".join(each for each in told if each)))
        if self._lost:
            head.append_text(styled(f"\nnot connected: {self._lost}", "red"))
        return head

    def _rates(self) -> Table:
        """A second's requests by outcome, and why."""
        now = self._clock()
        while self._moments and self._moments[0][0] < now - _WINDOW_S:
            self._moments.popleft()
        recent: Counter[str] = Counter()
        for _, outcome, requests in self._moments:
            recent[outcome] += requests
        made = table("outcome", "#a second", "mostly because")
        for outcome in OUTCOMES:
            whys = Counter({why: n for (of, why), n in self._reasons.items() if of == outcome})
            if not whys:
                continue
            because = ", ".join(f"{why} {n:,}" for why, n in whys.most_common(_REASONS))
            rate = f"{recent[outcome] / _WINDOW_S:.1f}"
            made.add_row(styled(outcome, STYLES.get(outcome, "")), rate, styled(because))
        return made

    def _table(self, rows: int) -> Table:
        made = table(
            "at", "outcome", "reason", "#status", "#took", "#bytes", "dialect", "model", "tier",
            "path",
        )  # fmt: skip
        for column in made.columns[2:]:
            column.no_wrap, column.overflow = True, "ellipsis"
        for said in list(self._requests)[:rows]:
            outcome = text(said, "outcome")
            style = STYLES.get(outcome, "")
            made.add_row(
                styled(text(said, "at")[11:19], "dim"),
                styled(outcome, style),
                styled(reason_of(said)),
                count(number(said, "status")),
                duration(number(said, "duration_s")),
                size(number(said, "bytes")),
                *(styled(text(said, name)) for name in ("dialect", "model", "tier", "path")),
            )
        return made

    def _foot(self) -> Text:
        dropped = f"  {self.dropped:,} not shown: too many at once" if self.dropped else ""
        return styled(f"q leaves{dropped}", "dim")


def reason_of(said: Said) -> str:
    """Why it was what it was, how it ended if not well, and how often it came."""
    told = [text(said, "reason"), text(said, "detail"), text(said, "error")]
    if said.get("complete") is not None and not flag(said, "complete"):
        told.append("cut short")
    if more := repeats(said):
        told.append(f"{more + 1:,} times")
    return " ".join(dict.fromkeys(each for each in told if each))


def repeats(said: Said) -> int:
    """How many requests besides it are told with it, as they were equal to the byte."""
    return max(0, int(number(said, "repeats") or 0))


def line_of(said: Said) -> str:
    """A request in one line of text."""
    told = [
        text(said, "at"),
        f"{text(said, 'outcome'):<9}",
        count(number(said, "status")),
        f"{duration(number(said, 'duration_s')):>8}",
        text(said, "method"),
        text(said, "path"),
        text(said, "model"),
        reason_of(said),
    ]
    return " ".join(each for each in told if each)
