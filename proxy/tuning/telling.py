"""What a sweep found, told: a table for people, an object for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import RenderableType
from rich.table import Table

from proxy.config.settings import Settings
from proxy.config.units import sized
from proxy.prices import Prices
from proxy.tuning.goals import Chosen, Goal
from proxy.tuning.grid import Choice, differences
from proxy.tuning.result import Result
from proxy.tuning.workload import Workload

_ROWS: Final = 20  # of the table
_HOUR_S: Final = 3600.0
_MINUTE_S: Final = 60.0
_MANY: Final = 10_000
_FAR: Final = 0.02  # between the recording and its replay, from where on something is amiss

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Report:
    """All that there is to tell.

    Args:
        now: the replay of the settings in force.
        unpriced: models without a price.
    """

    workload: Workload
    settings: Settings
    prices: Prices
    goal: Goal
    now: Result
    chosen: Chosen
    results: Sequence[Result]
    unpriced: Sequence[str] = ()

    # -- for people ---------------------------------------------------------------------------

    def heading(self) -> list[str]:
        """What was read, and how well it can be replayed; lines of text."""
        load, measured = self.workload, self.workload.measured
        asked = f"{measured.requests:,} requests in {_lasting(load.span_s)}"
        sample = f" ± {self.now.error:.1%}, by {len(load):,} of them" if load.share < 1 else ""
        apart = self.now.hit_ratio - measured.hit_ratio
        replayed = f"{self.now.hit_ratio:.1%}{sample} ({_points(apart)})"
        lines = [
            f"{asked}, {len(load.keys):,} questions; {measured.hit_ratio:.1%} of them were hits.",
            f"Replayed with the settings in force: {replayed}.",
        ]
        left_out = sum(load.left_out.values())
        if left_out:
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in load.left_out.most_common())
            lines.append(f"Left out, as nothing that is tuned here decides them: {kinds}.")
        if load.dropped or load.unreadable:
            lines.append(
                f"Missing: {load.dropped:,} requests that came too fast to be recorded, and"
                f" {load.unreadable:,} blocks that cannot be read."
            )
        if abs(apart) > max(_FAR, 2 * self.now.error):
            lines.append(
                "That is far apart: were these the settings that it was recorded with (-c), was"
                " there a purge, or did other replicas answer too?"
            )
        if any(not _is_default(rule) for rule in self.settings.cache.rules):
            lines.append("What `cache.rules` set stays as it is; lifetimes are tuned for the rest.")
        if self.unpriced:
            lines.append(f"Without a price: {', '.join(sorted(self.unpriced)[:10])}.")
        return lines

    def table(self, *, everything: bool = False) -> RenderableType:
        """The results that no other beats, or all of them; the best and the one in force marked."""
        best, by_meaning = self.chosen.best, any(r.choice.threshold for r in self.results)
        table = Table(box=None, pad_edge=False, header_style="bold")
        columns = ["", "memory", "ttl", "grace", "seen", "ahead"]
        columns += ["threshold", "wrong"] if by_meaning else []
        columns += ["hit rate", self._cost_title(), "calls", "stale", "age", "p99 age", "used"]
        for column in columns:
            table.add_column(column, justify="right" if column else "left", no_wrap=True)
        rows = list(self.results) if everything else self.chosen.front[:_ROWS]
        for extra in (self.now, best):
            if extra is not None and extra not in rows:
                rows.append(extra)
        for result in rows:
            mark = "best" if result is best else "now" if result is self.now else ""
            style = "bold green" if result is best else "cyan" if result is self.now else None
            table.add_row(*self._cells(result, mark, by_meaning=by_meaning), style=style)
        return table

    def _cells(self, result: Result, mark: str, *, by_meaning: bool) -> list[str]:
        choice = result.choice
        cells = [
            mark, _size(choice.memory_bytes), _lasting(choice.ttl_s), _lasting(choice.grace_s),
            str(choice.seen_times), f"{choice.refresh_ahead:g}",
        ]  # fmt: skip
        if by_meaning:
            threshold = "as was" if choice.threshold is None else f"{choice.threshold:.3f}"
            wrong = "?" if result.wrong is None else f"{result.wrong:.1%}"
            cells += [threshold, wrong]
        error = f" ±{result.error:.1%}" if result.error else ""
        return [
            *cells, f"{result.hit_ratio:.1%}{error}", self._saved(result), f"{result.calls:,}",
            f"{result.stale_ratio:.1%}", _lasting(result.mean_age_s), _lasting(result.p99_age_s),
            _size(result.peak_bytes),
        ]  # fmt: skip

    def _cost_title(self) -> str:
        if self.prices.known:
            return f"saved {self.prices.currency}"
        return (
            "saved tokens"
            if any(r.saved_read + r.saved_written for r in self.results)
            else "saved s"
        )

    def _saved(self, result: Result) -> str:
        """What it saves, less what refreshes cost that nobody waited for."""
        if self.prices.known:
            return f"{_net(result):,.2f}"
        tokens = result.saved_read + result.saved_written
        return f"{tokens:,}" if tokens else f"{result.saved_s:,.0f}"

    def verdict(self) -> list[str]:
        """Which is the best, and what it changes; lines of text."""
        best = self.chosen.best
        if best is None:
            return ["Nothing that was tried keeps to these limits: loosen one, or try more."]
        changes = differences(self.settings, best.choice)
        if not changes:
            return [f"For {self.goal}: the settings in force are as good as any that were tried."]
        width = max(len(".".join(change.setting)) for change in changes)
        gained = best.hit_ratio - self.now.hit_ratio
        calls = f"{best.calls - self.now.calls:+,} calls"
        return [
            f"For {self.goal}: {best.hit_ratio:.1%} hits ({_points(gained)}), {calls}.",
            *(
                f"  {'.'.join(change.setting):<{width}}  {change.before} -> {change.after}"
                for change in changes
            ),
        ]

    # -- for programs -------------------------------------------------------------------------

    def json(self) -> Json:
        """All of it, as one object."""
        load, best = self.workload, self.chosen.best
        return {
            "goal": self.goal.value,
            "trace": {
                "requests": load.measured.requests,
                "questions": len(load.keys),
                "span_s": load.span_s,
                "hit_ratio": load.measured.hit_ratio,
                "mean_age_s": load.measured.mean_age_s,
                "left_out": dict(load.left_out),
                "dropped": load.dropped,
                "unreadable_blocks": load.unreadable,
                "share": load.share,
                "labels": len(load.labels),
            },
            "currency": self.prices.currency if self.prices.known else None,
            "unpriced": sorted(self.unpriced),
            "in_force": self._object(self.now),
            "best": None if best is None else self._object(best),
            "changes": []
            if best is None
            else [
                {"setting": ".".join(each.setting), "from": each.before, "to": each.after}
                for each in differences(self.settings, best.choice)
            ],
            "front": [self._object(result) for result in self.chosen.front],
            "tried": [self._object(result) for result in self.results],
        }

    def _object(self, result: Result) -> Json:
        return {
            "choice": _choice(result.choice),
            "hit_ratio": result.hit_ratio,
            "hit_ratio_error": result.error or None,
            "requests": result.requests,
            "hits": result.hits,
            "stale": result.stale,
            "coalesced": result.coalesced,
            "misses": result.misses,
            "errors": result.errors,
            "passed": result.passed,
            "hits_by_meaning": result.by_meaning,
            "refreshes": result.refreshes,
            "calls": result.calls,
            "saved": {
                "calls": result.hits + result.stale + result.coalesced - result.refreshes,
                "input_tokens": result.saved_read,
                "output_tokens": result.saved_written,
                "money": _net(result) if self.prices.known else None,
                "seconds": result.saved_s,
            },
            "spent": {
                "input_tokens": result.spent_read,
                "output_tokens": result.spent_written,
                "money": result.spent if self.prices.known else None,
            },
            "mean_wait_s": result.mean_wait_s,
            "age_s": {
                "mean": result.mean_age_s, "p99": result.p99_age_s, "max": result.max_age_s,
            },
            "memory_peak_bytes": result.peak_bytes,
            "evicted": result.evicted,
            "wrong": result.wrong,
            "wrong_at_most": result.wrong_high,
        }  # fmt: skip


def _choice(choice: Choice) -> Json:
    return {
        "l1_memory.max_bytes": choice.memory_bytes,
        "cache.ttl_s": choice.ttl_s,
        "cache.stale_while_revalidate_s": choice.grace_s,
        "cache.admission.seen_times": choice.seen_times,
        "cache.refresh_ahead": choice.refresh_ahead,
        "semantic.threshold": choice.threshold,
    }


def _net(result: Result) -> float:
    """Money that was saved, less what refreshes cost beside the calls of those who missed."""
    return result.saved - result.refreshed


def _is_default(rule: object) -> bool:
    names = ("ttl_s", "stale_while_revalidate_s", "refresh_ahead")
    return all(getattr(rule, name) is None for name in names)


def _points(share: float) -> str:
    return f"{share * 100:+.1f} points"


def _lasting(seconds: float) -> str:
    if seconds >= 2 * _HOUR_S:
        return f"{seconds / _HOUR_S:.1f}h"
    if seconds >= 2 * _MINUTE_S:
        return f"{seconds / _MINUTE_S:.1f}m"
    return f"{seconds:.1f}s" if seconds else "0"


def _size(count: int) -> str:
    exact = sized(count)
    if not exact.isdecimal() or count < _MANY:
        return exact
    return f"{count / 2**20:.1f}MiB"
