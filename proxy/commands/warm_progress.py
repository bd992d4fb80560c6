"""How far ``warm`` has come: a bar where somebody watches, else a line now and then."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final, TypedDict

import click
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from proxy.commands.screen import clean, console
from proxy.figures import duration
from proxy.warming.run import Tally, Warming

_LOOK_S: Final = 0.2
_LINE_S: Final = 5.0
_REASONS: Final = 5


class _State(TypedDict):
    completed: int
    said: str


class Watch:
    """Tells how far it has come, on standard error.

    Args:
        total: how many questions there are.
        before: how many of them were done before this.
        resumes: whether this goes on with what was begun.
    """

    def __init__(
        self,
        total: int,
        before: int,
        *,
        resumes: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total = total
        self.before = before
        self._resumes = resumes
        self._clock = clock
        self._began = clock()

    def says(self, text: str) -> None:
        """A word in between."""
        click.echo(text, err=True)

    async def show(self, warming: Warming) -> None:
        """Until cancelled, show it."""
        if sys.stderr.isatty():
            await self._draw(warming)
        while True:
            await asyncio.sleep(_LINE_S)
            settled = self.before + _settled(warming.tally)
            click.echo(f"{settled:,} of {self.total:,}: {_so_far(warming.tally)}", err=True)

    async def _draw(self, warming: Warming) -> None:
        with Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[said]}"),
            TimeRemainingColumn(),
            console=console(err=True),
        ) as progress:
            task = progress.add_task("", total=self.total, completed=self.before, said="")
            try:
                while True:
                    await asyncio.sleep(_LOOK_S)
                    progress.update(task, **self._state(warming))
            finally:
                progress.update(task, **self._state(warming))

    def _state(self, warming: Warming) -> _State:
        return {
            "completed": self.before + _settled(warming.tally),
            "said": _so_far(warming.tally),
        }

    def document(self, warming: Warming, *, interrupted: bool, left: int) -> dict[str, object]:
        """All there is to tell in the end."""
        tally = warming.tally
        seconds = self._clock() - self._began
        return {
            "questions": self.total,
            "resumed": self._resumes,
            "done_before": self.before,
            "answered": tally.answered,
            "hits": tally.hits,
            "fetched": tally.fetched,
            "stored": tally.stored,
            "bypassed": tally.bypassed,
            "plain": tally.plain,
            "refused": tally.refused,
            "failed": tally.failed,
            "unreadable": tally.unreadable,
            "again": tally.again,
            "left": left,
            "interrupted": interrupted,
            "given_up": warming.given_up or None,
            "reasons": dict(tally.reasons.most_common()),
            "seconds": round(seconds, 3),
        }


def told(document: Mapping[str, object]) -> list[str]:
    """The same for people."""
    seconds, answered = document["seconds"], document["answered"]
    assert isinstance(seconds, float)  # noqa: S101 - as ``document`` has it
    assert isinstance(answered, int)  # noqa: S101 - as above
    rate = answered / seconds if seconds else 0.0
    lines = [
        f"answered   {answered:,} in {duration(seconds)} ({rate:,.1f} a second)",
        f"           {document['hits']:,} stored already, {document['fetched']:,} fetched",
    ]
    for name, means in (
        ("bypassed", "answered, but not for the cache"),
        ("plain", "answered by a server that is no sidecache"),
        ("refused", "refused by the backend"),
        ("failed", "failed after all attempts: call again to try them once more"),
        ("unreadable", "lines that are no question"),
        ("left", "left: call again to go on"),
    ):
        if document[name]:
            lines.append(f"{name:<10} {document[name]:,} {means}")
    reasons = document["reasons"]
    assert isinstance(reasons, dict)  # noqa: S101 - as above
    lines += [
        f"           {number:,} x {clean(why)}" for why, number in list(reasons.items())[:_REASONS]
    ]
    if document["given_up"]:
        lines.append(f"given up   {clean(str(document['given_up']))}")
    return lines


def _settled(tally: Tally) -> int:
    return tally.answered + tally.troubles


def _so_far(tally: Tally) -> str:
    """In half a line."""
    said = f"{tally.hits:,} hits, {tally.fetched:,} fetched"
    if tally.bypassed + tally.plain:
        said += f", {tally.bypassed + tally.plain:,} not cached"
    if tally.troubles:
        said += f", {tally.troubles:,} errors"
    return said
