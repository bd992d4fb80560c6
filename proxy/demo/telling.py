"""What the tour's findings look like: lines of at most 90 columns, with colours."""

from __future__ import annotations

from collections import Counter
from typing import Final, assert_never

import click

from proxy.demo.backend import MODEL, Pace
from proxy.demo.caller import Heard
from proxy.demo.steps import Apart, Crowd, Forms, Late, Repeat, Savings

Finding = Heard | Repeat | Apart | Crowd | Late | Forms | Savings

_CHART: Final = 60  # columns
_BURST: Final = 4  # events in one column from which they came at once
_COLOURS: Final = {"HIT": "green", "COALESCED": "cyan", "MISS": "yellow"}


def opening(pace: Pace) -> str:
    """What is about to be shown."""
    return _lines(
        f"Sidecache before a made-up backend, which takes {_duration(pace.first_token_s)} to its "
        f"first word, and {_duration(pace.token_s)}",
        "for each further one. Both run here, asked over real sockets. A row shows how long an",
        "answer took, and its X-Cache and X-Cache-Reason headers. All is measured as you watch.",
    )


def title(number: int, text: str) -> str:
    """The heading of a step."""
    return "\n" + click.style(f"{number}  {text}", bold=True)


def told(finding: Finding) -> str:
    """What a step has found."""
    match finding:
        case Heard():
            return _row(finding, "the backend was asked")
        case Repeat(_, again):
            return _row(again, f"the same bytes, {finding.times_as_fast:,.0f} times as fast")
        case Apart(respelled, other, stranger):
            return _lines(
                _row(respelled, "the same in other JSON: members reordered, spaced, escaped"),
                _row(other, "another question"),
                _row(stranger, "the first question, from a caller with another API key"),
            )
        case Crowd():
            return _crowd(finding)
        case Late():
            return _late(finding)
        case Forms(streamed, whole):
            return _lines(
                _row(streamed, "a stream, made of the JSON of step 1"),
                _row(whole, "JSON, made of the stream of step 5, token counts included"),
            )
        case Savings():
            return _savings(finding)
        case _:
            assert_never(finding)


def ending() -> str:
    """What to do next."""
    return _lines(
        "",
        click.style("Now in front of your own backend", bold=True),
        "   sidecache serve --upstream http://127.0.0.1:8000",
        _dim("   (in the project's folder: ./run serve --upstream ...)"),
        "",
        *_trial("http://127.0.0.1:8080", "YOUR-MODEL"),
        "",
        _dim("   or in Python:"),
        "   from openai import OpenAI",
        '   client = OpenAI(base_url="http://127.0.0.1:8080/v1")  # all else as before',
        "",
        _dim("   and its dashboard, in a browser: http://127.0.0.1:8081/"),
    )


def invitation(url: str, admin: str | None) -> str:
    """How to try a proxy at ``url`` whose backend is made up, and watch it where ``admin`` is."""
    watch = () if admin is None else (f"Watch it in a browser: {admin}/", "")
    return _lines(
        "The backend behind this proxy is made up. Ask it twice, and watch X-Cache:",
        "",
        *_trial(url, MODEL),
        "",
        *watch,
    )


# The findings that take more than a row.


def _crowd(crowd: Crowd) -> str:
    verdicts = ", ".join(f"{count} {_verdict(said)}" for said, count in crowd.verdicts.items())
    return _lines(
        f"{_duration(crowd.took_s):>10}   {verdicts}",
        f"{'':13}{len(crowd.heard)} callers, 1 call to the backend, the same bytes for all",
    )


def _late(late: Late) -> str:
    """Both streams, drawn on one line of time."""
    begin, end = late.early.asked_at, late.early.ended_at
    came, caught_up = late.late.asked_at - begin, late.caught_up_at - late.late.asked_at
    live = len(late.late.moments) - late.missed
    return _lines(
        f"   first   {_drawn(late.early, begin, end)}   {_verdict(late.early.verdict)}",
        f"   second  {_drawn(late.late, begin, end)}   {_verdict(late.late.verdict)}",
        _dim(f"{'':11}{'0 s':30}{_duration(end - begin):>30}"),
        _dim(f"{'':11}. waits   | hears a word or two   # hears many at once"),
        f"   The second came {_duration(came)} after the first, had heard all that it had missed",
        f"   within {_duration(caught_up)}, and {live} more events as they came. "
        "The same bytes, 1 call to the backend.",
    )


def _savings(savings: Savings) -> str:
    without, spent = savings.without, savings.spent
    return _lines(
        _dim(f"   {'':22}{'without':>10}{'with Sidecache':>18}"),
        f"   {'calls to the backend':22}{without.calls:>10,}{spent.calls:>18,}",
        f"   {'seconds of its work':22}{without.seconds:>10,.1f}{spent.seconds:>18,.1f}",
        f"   {'tokens':22}{without.tokens:>10,}{spent.tokens:>18,}",
    )


# Lines and what they are made of.


def _lines(*lines: str) -> str:
    return "\n".join(lines)


def _trial(url: str, model: str) -> list[str]:
    return [
        f"   curl -i {url}/v1/chat/completions \\",
        "     -H 'Content-Type: application/json' \\",
        f'     -d \'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}\'',
    ]


def _row(heard: Heard, remark: str) -> str:
    verdict = _verdict(heard.verdict) + " " * (6 - len(heard.verdict))
    return f"{_duration(heard.took_s):>10}   {verdict}{_dim(f'{heard.why:10}')}{remark}"


def _verdict(verdict: str) -> str:
    return click.style(verdict, fg=_COLOURS.get(verdict))


def _dim(text: str) -> str:
    return click.style(text, dim=True)


def _duration(seconds: float) -> str:
    """``seconds`` with as many digits as mean something."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.0f} ms" if seconds >= 0.01 else f"{seconds * 1e3:.2f} ms"  # noqa: PLR2004 - 10 ms


def _drawn(heard: Heard, begin: float, end: float) -> str:
    """When its events came, on a line of time from ``begin`` to ``end``."""

    def column(moment: float) -> int:
        return max(0, min(int((moment - begin) / (end - begin) * _CHART), _CHART - 1))

    events = Counter(map(column, heard.moments))
    waiting = range(column(heard.asked_at), column(heard.ended_at))
    marks = []
    for place in range(_CHART):
        mark = "." if place in waiting else " "
        if place in events:
            mark = "#" if events[place] >= _BURST else "|"
        marks.append(mark)
    return "".join(marks)
