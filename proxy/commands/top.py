"""The command that shows requests as they come, each with its reason."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

import click

from proxy.commands.asking import Event, Operator, asks_operator
from proxy.commands.following import Following, Found, Lost
from proxy.commands.screen import clean, console, tell

_DRAW_S: Final = 0.25
_LEAVE: Final = frozenset({"q", "Q", "\x1b"})


@click.command()
@click.option(
    "--last",
    type=click.IntRange(0, 500),
    default=50,
    show_default=True,
    help="How many requests from before to begin with.",
)
@click.option(
    "--events",
    type=click.IntRange(min=1),
    help="Leave after so many events.  [default: never]",
)
@click.option("--json", "as_json", is_flag=True, help="Tell each event as a line of JSON.")
@asks_operator
def top(*, operator: Operator, last: int, events: int | None, as_json: bool) -> None:
    """Watch requests as they come, and why each was a hit or a miss.

    Goes on when the proxy restarts. q or Ctrl-C leaves.
    """
    following = Following(operator, last=last)
    following.start()
    try:
        with contextlib.suppress(KeyboardInterrupt):
            if as_json or not sys.stdout.isatty():
                _lines(following, events, as_json=as_json)
            else:
                _watch(following, operator.url, events)
    finally:
        following.stop()


def _lines(following: Following, most: int | None, *, as_json: bool) -> None:
    """One for each event."""
    from proxy.commands.top_screen import line_of  # noqa: PLC0415 - rich, when it is needed

    told, lost = 0, ""
    while most is None or told < most:
        match following.take(_DRAW_S):
            case Event(kind, said):
                told += 1
                if as_json:
                    tell({"event": kind, **said})
                elif kind == "request":
                    click.echo(clean(line_of(said)))
            case Lost(why):
                if why != lost:  # each attempt says so
                    click.echo(why, err=True)
                lost = why
            case Found():
                click.echo("connected again", err=True)
                lost = ""
            case _:
                pass


def _watch(following: Following, url: str, most: int | None) -> None:
    from rich.live import Live  # noqa: PLC0415 - as above

    from proxy.commands.top_screen import Screen  # noqa: PLC0415 - as above

    out = console()
    screen = Screen(url, time.monotonic)
    told = 0
    with (
        _keys() as pressed,
        Live(screen.draw(out.height), console=out, screen=True, auto_refresh=False) as live,
    ):
        drawn = time.monotonic()
        while (most is None or told < most) and pressed() not in _LEAVE:
            news = following.take(_DRAW_S)
            if news is not None:
                screen.take(news)
                told += isinstance(news, Event)
            if time.monotonic() - drawn >= _DRAW_S:
                screen.dropped += following.dropped
                following.dropped = 0
                live.update(screen.draw(out.height), refresh=True)
                drawn = time.monotonic()


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[], str]]:
    """Tells which key was pressed, "" for none, without waiting for one or for Enter."""
    if not sys.stdin.isatty():
        yield lambda: ""
        return

    import termios  # noqa: PLC0415 - not on every system
    import tty  # noqa: PLC0415 - as above

    keyboard = sys.stdin.fileno()

    def pressed() -> str:
        ready, _, _ = select.select([keyboard], [], [], 0)
        return os.read(keyboard, 1).decode(errors="replace") if ready else ""

    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        yield pressed
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
