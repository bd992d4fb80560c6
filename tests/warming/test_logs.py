from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.calling import Question
from proxy.warming.logs import asked_in, top
from proxy.warming.questions import Reader
from proxy.warming.source import Line

JSON = (("Content-Type", "application/json"),)
CHAT = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
SAID = json.dumps(BODY, separators=(",", ":")).encode()
COMBINED = (
    b'10.0.0.1 - - [10/Oct/2025:13:55:36 +0000] "GET /docs?a=1 HTTP/1.1" 200 2326 "-" "curl/8"'
)


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ({"request": {"path": CHAT, "method": "POST", "body": BODY}, "status": 200}, CHAT),
        ({"path": "/v1/x", "request_body": BODY, "latency": 3}, "/v1/x"),
        ({"url": f"http://gw{CHAT}?a=b", "payload": json.dumps(BODY), "status_code": 200},
         f"{CHAT}?a=b"),
        ({"request": BODY, "response": {"choices": []}}, CHAT),
        ({"request": {"body": BODY}, "request_path": "/v1/y"}, "/v1/y"),
        ({"id": "1", **BODY, "response": {}, "spend": 0.1, "model_parameters": {}}, CHAT),
        (BODY, CHAT),
    ],
)  # fmt: skip
def test_logs_of_gateways_hold_questions(said: Any, path: str) -> None:
    found = asked_in(json.dumps(said).encode(), Reader())
    assert found is not None
    assert (found.method, found.path, found.headers) == ("POST", path, JSON)
    assert json.loads(found.body) == BODY


def test_options_that_are_logged_apart_are_part_of_the_question() -> None:
    said = {**BODY, "optional_params": {"temperature": 0}, "spend": 1}
    found = asked_in(json.dumps(said).encode(), Reader())
    assert found is not None
    assert json.loads(found.body) == {"temperature": 0, **BODY}


def test_a_get_of_a_log_in_the_common_format_can_be_asked_again() -> None:
    assert asked_in(COMBINED, Reader()) == Question("GET", "/docs?a=1", (), b"")
    said = {"path": "/docs", "method": "GET", "status": 200}
    assert asked_in(json.dumps(said).encode(), Reader()) == Question("GET", "/docs", (), b"")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense",
        b"{",
        COMBINED.replace(b"200", b"404"),
        COMBINED.replace(b"GET", b"POST"),
        COMBINED.replace(b"/docs?a=1", b"//evil"),
        json.dumps({"status": 500, **BODY}).encode(),
        json.dumps({"event": "request", "path": "/v1/x", "method": "POST"}).encode(),
        json.dumps({"path": "/x", "method": "PUT", "body": {}}).encode(),
        json.dumps({"answer": 42}).encode(),
        json.dumps({"request": {"model": "m", "input": "x"}}).encode(),
    ],
)
def test_what_holds_no_question_or_failed_is_left_out(line: bytes) -> None:
    assert asked_in(line, Reader()) is None


def lines(*texts: bytes | None) -> list[Line]:
    return [Line(number, number * 100, text) for number, text in enumerate(texts)]


def test_what_was_asked_most_comes_first_however_it_was_spelled() -> None:
    one, two, three = (json.dumps({"model": "m", "messages": [n]}).encode() for n in "123")
    respelled = json.dumps({"messages": ["2"], "model": "m"}, indent=None).encode()
    found = top(lines(one, two, b"noise", respelled, three, two, three, None), Reader(), 2)
    assert found.offsets == [100, 400]
    assert (found.asked, found.other, found.covered) == (6, 2, 5)


def test_what_is_asked_seldom_makes_way_in_a_long_log() -> None:
    often = json.dumps({"model": "m", "messages": ["often"]}).encode()
    log = [
        often if number % 50 == 0 else COMBINED.replace(b"a=1", b"a=%d" % number)
        for number in range(5001)
    ]
    found = top(lines(*log), Reader(), 1000, bucket=1000)
    assert found.offsets[0] == 0
    assert len(found.offsets) == 2  # of those asked once, none but the last is remembered
    assert (found.asked, found.covered) == (5001, 102)
