from __future__ import annotations

import asyncio
import errno
import io
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import pytest
from aiohttp.http_exceptions import BadStatusLine

from proxy.observe.events import Redactor, events
from proxy.observe.sink import Sink

CANARY = "hunter2hunter2"
NOON = 1_795_262_400.25


class Told:
    """The lines that were told, once the block is over."""

    def __init__(self) -> None:
        self.text = ""

    @property
    def lines(self) -> list[dict[str, object]]:
        return [orjson.loads(line) for line in self.text.splitlines()]


@contextmanager
def listening(style: str = "json", level: str = "debug", **more: object) -> Iterator[Told]:
    stream = io.BytesIO()
    sink = Sink(stream)
    told = Told()
    with events(sink, style=style, level=level, wall=lambda: NOON, **more):  # type: ignore[arg-type] # as the tests say
        yield told
    sink.close(30)
    told.text = stream.getvalue().decode()


ours = logging.getLogger("sidecache.test")


def test_an_event_is_one_line_with_its_fields() -> None:
    with listening() as told:
        ours.info("listening at %s", "127.0.0.1:1", extra={"port": 1, "names": ["a"], "tls": None})
    assert told.lines == [
        {
            "ts": "2026-11-21T12:00:00.250Z",
            "level": "info",
            "event": "listening at 127.0.0.1:1",
            "port": 1,
            "names": ["a"],
            "tls": None,
        }
    ]


def test_people_are_told_the_same_in_text() -> None:
    with listening("text") as told:
        ours.warning("backend\nfails", extra={"upstream": "a"})
    assert told.text == "2026-11-21T12:00:00.250Z WARNING backend\\nfails upstream=a\n"


def test_only_events_of_the_level_asked_for_are_told_and_of_others_warnings() -> None:
    with listening(level="info") as told:
        ours.debug("a")
        ours.info("b")
        logging.getLogger("proxy.flight").info("c")
        logging.getLogger("somebody.else").info("d")
        logging.getLogger("somebody.else").warning("e")
    assert [line["event"] for line in told.lines] == ["b", "c", "somebody.else: e"]


def test_afterwards_logging_is_as_it_was() -> None:
    root = logging.getLogger()
    before = (root.handlers, root.level, logging.getLogger("proxy").level)
    with listening():
        assert (root.handlers, root.level, logging.getLogger("proxy").level) != before
    assert (root.handlers, root.level, logging.getLogger("proxy").level) == before
    assert not logging.getLogger("aiohttp.access").disabled


def fail() -> None:
    try:
        raise ConnectionResetError(errno.ECONNRESET, f"by {CANARY}")
    except OSError as error:
        raise ValueError(f"cannot read {CANARY}") from error


def test_an_exception_is_told_by_class_and_place_and_never_by_its_text() -> None:
    with listening() as told:
        try:
            fail()
        except ValueError:
            ours.exception("a flight failed")
    (line,) = told.lines
    assert line["error"] == "ValueError"
    assert line["causes"] == ["ConnectionResetError (Connection reset by peer)"]
    trace = line["trace"]
    assert isinstance(trace, list)
    assert trace[-1].startswith("observe/test_events.py:")
    assert trace[-1].endswith(" fail")
    assert CANARY not in told.text


def test_other_packages_are_told_by_their_first_words_only() -> None:
    with listening() as told:
        log = logging.getLogger("aiohttp.server")
        log.error("Error handling request from %s", CANARY)
        for filled_in in (f"Cannot parse <{CANARY}>", f"First line\n{CANARY}"):
            log.error(filled_in)
    assert [line["event"] for line in told.lines] == [
        "aiohttp.server: Error handling request from",
        "aiohttp.server: Cannot parse",
        "aiohttp.server: First line",
    ]


def test_a_client_that_does_not_speak_http_is_no_event() -> None:
    with listening() as told:
        logging.getLogger("aiohttp.server").error("Error", exc_info=BadStatusLine(CANARY))
    assert told.text == ""


def test_the_access_log_of_aiohttp_is_off() -> None:
    with listening() as told:
        logging.getLogger("aiohttp.access").warning("GET /?key=%s", CANARY)
    assert told.text == ""


async def test_what_the_loop_says_of_a_lost_failure_is_told_without_its_text() -> None:
    loop = asyncio.get_running_loop()
    with listening() as told:
        loop.call_exception_handler(
            {
                "message": f"Exception in callback Flight.hear(b'{CANARY}')",
                "exception": ValueError(CANARY),
                "handle": CANARY,
            }
        )
    (line,) = told.lines
    assert line["event"] == "asyncio: Exception in callback Flight.hear"
    assert line["error"] == "ValueError"
    assert CANARY not in told.text


def test_arguments_that_do_not_fit_the_text_do_no_harm() -> None:
    with listening() as told:
        ours.warning("%d of %d", "a")
    assert told.lines[0]["event"] == "%d of %d"


def test_what_json_cannot_hold_is_written_out() -> None:
    with listening() as told:
        ours.warning("a\udcff", extra={"count": 2**70})
    assert told.lines[0]["event"] == "a\\udcff"
    assert told.lines[0]["count"] == str(2**70)


def test_secrets_that_are_known_are_blanked_out_wherever_they_stand() -> None:
    with listening(secrets=[CANARY, "abc"]) as told:
        ours.warning("it is %s", CANARY, extra={"a": f"x{CANARY}y", "b": [CANARY], "c": "abc"})
    assert CANARY not in told.text
    assert told.lines[0]["c"] == "abc"  # too short to be one


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {CANARY}",
        f"{{'Authorization': 'Bearer {CANARY}'}}",
        f"authorization={CANARY}",
        f"Basic {CANARY}==",
        f"x-api-key: {CANARY}",
        f"api_key='{CANARY}'",
        f'"apikey": "{CANARY}"',
        f"Cookie: a=b; session={CANARY}",
        f"Set-Cookie: {CANARY}",
        f"GET /v1/models?key={CANARY} failed",
        f"http://h/v1?a=b&c={CANARY}",
        f"redis://user:{CANARY}@h:6379/0",
        f"https://{CANARY}@h/",
        f"sk-proj-{CANARY}",
        f"AIza{CANARY}",
        f"ghp_{CANARY}",
        f"eyJhbGciOi.{CANARY}.{CANARY}",
        f"password={CANARY}",
        f"token: {CANARY}",
    ],
)
def test_what_looks_like_a_secret_is_blanked_out(text: str) -> None:
    assert CANARY not in Redactor()(text)


@pytest.mark.parametrize(
    "text",
    [
        "listening at http://127.0.0.1:8080/v1",
        "why? because",
        "a token bucket is full",
        "skipping /v1/chat/completions",
    ],
)
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    assert Redactor()(text) == text


def test_a_text_is_cut_but_never_inside_a_secret() -> None:
    redact = Redactor([CANARY])
    assert len(redact("x" * 5000)) == 1000
    assert "hunter" not in redact("x" * 995 + CANARY)


def test_what_ends_a_thread_is_told_without_what_it_quotes() -> None:
    def fail() -> None:
        raise ValueError(CANARY)

    with listening() as told:
        thread = threading.Thread(target=fail, name="helper")
        thread.start()
        thread.join()
    (line,) = told.lines
    assert (line["event"], line["where"]) == ("a thread failed", "helper")
    assert line["error"] == "ValueError"
    assert CANARY not in told.text


def test_what_cannot_be_raised_is_told_without_what_it_quotes() -> None:
    class Dying:
        def __del__(self) -> None:
            raise ValueError(CANARY)

    with listening() as told:
        Dying()
    (line,) = told.lines
    assert (line["event"], line["error"]) == ("cleaning up failed", "ValueError")
    assert CANARY not in told.text


def test_what_is_told_may_change_and_secrets_of_before_stay_so() -> None:
    stream = io.BytesIO()
    sink = Sink(stream)
    secrets = [f"the secret {number}" for number in range(3)]
    with events(
        sink, style="json", level="info", wall=lambda: NOON, secrets=secrets[:1]
    ) as telling:
        ours.debug("too early")
        telling.change("debug", secrets[1:2])
        ours.debug("%s", secrets)
        telling.change("error", secrets[1:])
        ours.warning("too late")
        ours.error("%s", secrets)
    sink.close(30)
    lines = [orjson.loads(line)["event"] for line in stream.getvalue().splitlines()]
    assert lines == ["['***', '***', 'the secret 2']", "['***', '***', '***']"]


def test_only_so_many_secrets_are_known_and_the_newest_are() -> None:
    stream = io.BytesIO()
    sink = Sink(stream)
    with events(sink, style="json", level="info", wall=lambda: NOON) as telling:
        for number in range(3):
            telling.change("info", [f"secret-{number}-{each}" for each in range(400)])
        ours.info("secret-0-0 secret-0-399 secret-2-399")
    sink.close(30)
    assert orjson.loads(stream.getvalue())["event"] == "secret-0-0 *** ***"
