from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest
from rich.console import Console
from support.live_events import request, stream
from support.told_admin import Listener, Run

from proxy.commands.asking import Answered, Event, Unreachable
from proxy.commands.following import Following, Found, Lost
from proxy.commands.refused import Refused
from proxy.commands.top_screen import Screen

Script = list[list[Event | Exception]]


class Streams:
    """Plays its scripts, one for each connection, and then says no more."""

    def __init__(self, scripts: Script) -> None:
        self._scripts = scripts
        self.over = threading.Event()
        self.asked: list[str] = []

    def events(self, path: str, **query: object) -> Iterator[Event]:
        self.asked.append(f"{path} {query}")
        if not self._scripts:
            self.over.wait(10)
            return
        for each in self._scripts.pop(0):
            if isinstance(each, Exception):
                raise each
            yield each


def followed(scripts: Script, count: int) -> list[object]:
    """The first news of so many."""
    streams = Streams(scripts)
    following = Following(streams, last=5, waits_s=(0.0,))
    following.start()
    try:
        return [following.take(5) for _ in range(count)]
    finally:
        following.stop()
        streams.over.set()


def test_it_goes_on_where_a_broken_connection_left_off() -> None:
    scripts: Script = [
        [request(1), request(2), Unreachable("broke off")],
        [Unreachable("nobody there")],
        [request(1), request(2), request(3)],
    ]
    assert followed(scripts, 6) == [
        request(1), request(2), Lost("broke off"), Lost("nobody there"), Found(), request(3),
    ]  # fmt: skip


def test_a_proxy_that_was_restarted_counts_from_one_again() -> None:
    again = request(1, at="2026-01-02T09:00:00Z")
    news = followed([[request(1)], [again]], 4)
    assert news == [request(1), Lost("the proxy has ended the stream"), Found(), again]


def test_as_many_watchers_as_may_be_are_waited_for_other_refusals_are_not() -> None:
    assert followed([[Answered("too many", 503)], [request(1)]], 3) == [
        Lost("too many"), Found(), request(1),
    ]  # fmt: skip
    for refusal in (Answered("the token", 401), Refused("no sidecache")):
        with pytest.raises(Refused, match=str(refusal)):
            followed([[refusal]], 1)


def test_who_was_never_there_is_not_waited_for() -> None:
    with pytest.raises(Refused, match="nobody there"):
        followed([[Unreachable("nobody there")], [request(1)]], 1)


def test_who_takes_nothing_is_not_waited_for() -> None:
    streams = Streams([[Event("stats", {}) for _ in range(10_001)]])
    following = Following(streams, last=0, waits_s=(0.0,))
    following.start()
    while not following.dropped:
        assert following._thread.is_alive()
    following.stop()
    streams.over.set()
    assert following.dropped >= 1


def test_nothing_new_is_no_news() -> None:
    streams = Streams([])
    following = Following(streams, last=0)
    following.start()
    assert following.take(0.01) is None
    following.stop()
    streams.over.set()


def test_programs_get_a_line_for_each_event(run: Run, admin: Listener) -> None:
    admin.say("/live", stream(request(1), Event("stats", {"requests_per_s": 2.0})))
    result = run("top", "--json", "--events", 2, "--last", 7, "--admin-url", admin.url)
    assert result.exit_code == 0, result.output
    first, second = map(json.loads, result.stdout.splitlines())
    assert first == {"event": "request", **request(1).said}
    assert second == {"event": "stats", "requests_per_s": 2.0}
    assert admin.asked[0].path == "/live?last=7"


def test_where_nobody_watches_each_request_is_a_line(run: Run, admin: Listener) -> None:
    odd = request(2, "bypass", path="/\x1b[2J", complete=False, error="ConnectFailed")
    admin.say("/live", stream(request(1), Event("stats", {}), odd))
    result = run("top", "--events", 3, "--admin-url", admin.url)
    one, two = result.stdout.splitlines()
    assert one == "2026-01-02T03:04:01Z hit       200   500 µs POST /v1/chat m fresh"
    assert "ConnectFailed cut short" in two
    assert "\\x1b[2J" in two


def test_connections_that_come_and_go_are_told_beside(run: Run, admin: Listener) -> None:
    admin.say("/live", stream(request(1)), stream(request(2)))
    result = run("top", "--events", 2, "--admin-url", admin.url)
    assert "has ended the stream" in result.stderr
    assert len(result.stdout.splitlines()) == 2


def drawn(screen: Screen, height: int = 30) -> str:
    console = Console(width=160, height=height, markup=False, highlight=False)
    with console.capture() as captured:
        console.print(screen.draw(height))
    return captured.get()


def test_the_screen_has_rates_reasons_and_the_last_requests() -> None:
    now = [100.0]
    screen = Screen("http://here", lambda: now[0])
    for seq in range(1, 31):
        screen.take(request(seq, model=f"m{seq}"))
    screen.take(request(31, "miss", reason="unseen"))
    screen.take(Event("stats", {
        "requests": {"total": 31}, "hit_ratio_recent": 0.5, "in_progress": 2,
        "saved": {"seconds": 3.0, "money": 1.25, "currency": "EUR"}, "loop_lag_p99_s": 0.001,
    }))  # fmt: skip
    screen.take(Event("dropped", {"count": 4}))
    shown = drawn(screen)
    for each in (
        "31 requests", "50.0 % hits of late", "1.25 EUR saved", "2 in progress", "fresh 30",
        "unseen 1", "3.0", "m30", "4 not shown",
    ):  # fmt: skip
        assert each in shown, each
    assert "m1 " not in shown  # there is no room for all
    assert shown.index("m30") < shown.index("m29")

    now[0] += 60
    assert "0.0" in drawn(screen)


def test_the_screen_says_when_there_is_no_connection() -> None:
    screen = Screen("http://here", lambda: 0.0)
    screen.take(Lost("broke off"))
    assert "not connected: broke off" in drawn(screen)
    screen.take(Found())
    assert "not connected" not in drawn(screen)


def test_requests_that_are_told_together_are_counted_one_by_one(run: Run, admin: Listener) -> None:
    screen = Screen("http://here", lambda: 100.0)
    screen.take(request(1, repeats=1233))
    screen.take(request(2, repeats=0))
    shown = drawn(screen)
    for each in ("fresh 1,235", "123.5", "fresh 1,234 times"):
        assert each in shown, each
    assert "1 times" not in shown

    admin.say("/live", stream(request(1, repeats=5)))
    result = run("top", "--events", 1, "--admin-url", admin.url)
    assert result.stdout.endswith(" fresh 6 times\n")
