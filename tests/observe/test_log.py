from __future__ import annotations

import io
from collections.abc import Sequence

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.held import holding_less_than
from support.records import CANARY, NOON, Bell, record

from proxy.model.decision import Why
from proxy.model.outcome import Delivery, Record, Verdict
from proxy.observe.gather import Gathering
from proxy.observe.log import RequestLog, Stamp
from proxy.observe.sink import Sink


def lines_of(*records: Record, style: str = "json", more: Sequence[float] = ()) -> list[str]:
    stream = io.BytesIO()
    sink = Sink(stream)
    clock = Bell()
    log = RequestLog(sink, style=style)  # type: ignore[arg-type] # either
    gathering = Gathering([log], wall=lambda: NOON, call_later=clock.later)
    for each in records:
        gathering.write(each, more)
    gathering.flush()
    sink.close(30)
    return stream.getvalue().decode().split("\n")[:-1]


def test_a_request_is_one_line_of_json() -> None:
    (line,) = lines_of(record())
    assert orjson.loads(line) == {
        "ts": "2026-11-21T12:00:00.250Z",
        "event": "request",
        "method": "POST",
        "path": "/v1/chat/completions",
        "status": 200,
        "verdict": "HIT",
        "why": "fresh",
        "dialect": "openai_chat",
        "model": "gpt-4o",
        "tier": "l1_memory",
        "age_s": 12.346,
        "ttl_s": -3.0,
        "scope": "scope-of-the-caller",
        "duration_ms": 0.424,
        "bytes": 2048,
        "complete": True,
        "peer": "127.0.0.1",
    }


@pytest.mark.parametrize("style", ["json", "text"])
def test_what_clients_choose_is_not_remembered_without_bound(style: str) -> None:
    with holding_less_than(2**20):
        for number in range(50):
            chosen = f"/{style}{number:0100000}"
            (line,) = lines_of(record(chosen, chosen), style=style)
            assert len(line) < 1000
        del chosen


def test_a_request_that_went_to_the_backend_says_what_became_of_it() -> None:
    broken = record(
        delivery=Delivery(200, 5, False, 2.0, "BrokenReply"),
        verdict=Verdict.MISS, why=Why.UNSEEN, tier="", age_s=None, ttl_s=None, stored=False,
        collapsed=False, upstream_s=1.25, detail="incomplete",
    )  # fmt: skip
    fields = orjson.loads(lines_of(broken)[0])
    assert (fields["verdict"], fields["why"]) == ("MISS", "uri-miss")
    assert (fields["stored"], fields["collapsed"]) == (False, False)
    assert fields["detail"] == "incomplete"
    assert (fields["upstream_ms"], fields["duration_ms"]) == (1250.0, 2000.0)
    assert (fields["complete"], fields["error"]) == (False, "BrokenReply")
    assert not {"tier", "age_s", "ttl_s"} & fields.keys()


def test_what_is_not_known_is_left_out() -> None:
    bypass = record(verdict=Verdict.BYPASS, why=Why.ROUTE, dialect="", model="", tier="", key=None)
    fields = orjson.loads(lines_of(bypass)[0])
    assert not {"dialect", "model", "tier", "scope", "stored", "error"} & fields.keys()


def test_people_are_told_the_same_in_text() -> None:
    assert lines_of(record(), style="text") == [
        (
            "2026-11-21T12:00:00.250Z HIT fresh 200 POST /v1/chat/completions dialect=openai_chat "
            "model=gpt-4o tier=l1_memory scope=scope-of-the-caller peer=127.0.0.1 "
            "duration_ms=0.424 bytes=2048 complete=True age_s=12.346 ttl_s=-3.0"
        )
    ]


def test_requests_that_are_told_together_are_one_line_that_says_how_many_there_were_more() -> None:
    (alone,), (line,) = lines_of(record()), lines_of(record(), more=(0.5, 0.25))
    assert orjson.loads(line) == orjson.loads(alone) | {"repeats": 2}
    (text,) = lines_of(record(), style="text", more=(0.5, 0.25))
    assert text.endswith(" ttl_s=-3.0 repeats=2")


@pytest.mark.parametrize("style", ["json", "text"])
def test_what_was_said_in_confidence_is_never_told(style: str) -> None:
    for line in lines_of(record(), style=style):
        assert CANARY not in line
        assert CANARY.encode().hex() not in line
        assert "api-version" not in line


@pytest.mark.parametrize("style", ["json", "text"])
@given(st.text(st.characters(categories=None), max_size=600))
def test_whatever_clients_choose_a_request_stays_one_bounded_line(style: str, text: str) -> None:
    (line,) = lines_of(record(path=f"/{text}", model=text), style=style)
    assert len(line) < 12_000
    assert line.isprintable()
    if style == "json":
        assert orjson.loads(line)["status"] == 200


def test_a_path_that_is_not_utf8_is_written_out() -> None:
    (line,) = lines_of(record(path="/a\udcff"))
    assert orjson.loads(line)["path"] == "/a\\udcff"


def test_a_flush_of_nothing_writes_nothing() -> None:
    assert lines_of() == []


def test_the_time_of_day_follows_the_clock() -> None:
    stamp = Stamp()
    assert stamp(NOON) == "2026-11-21T12:00:00.250Z"
    assert stamp(NOON + 0.001) == "2026-11-21T12:00:00.251Z"
    assert stamp(NOON + 0.751) == "2026-11-21T12:00:01.001Z"
    assert stamp(NOON - 3599.249) == "2026-11-21T11:00:01.001Z"
    assert stamp(0.0) == "1970-01-01T00:00:00.000Z"
