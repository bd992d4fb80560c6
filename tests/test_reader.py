"""From a request to what it asks."""

from __future__ import annotations

import tracemalloc

import pytest
from support.cranked import Given

from proxy.dialects.openai_chat import OpenAIChat
from proxy.key import KeyRules
from proxy.model.decision import Why
from proxy.model.message import Headers, Request
from proxy.policy import Policy, Rule, Terms
from proxy.reader import Asked, Passed, Reader

PATH = "/v1/chat/completions"
BODY = b'{"model":"m","messages":[]}'


class Counting(OpenAIChat):
    """The dialect, counting how often it is asked to read."""

    reads = 0

    def read(self, headers: Headers, body: bytes):
        self.reads += 1
        return super().read(headers, body)


@pytest.fixture
def dialect() -> Counting:
    return Counting()


@pytest.fixture
def reader() -> Reader:
    rules = (Rule(model="off*", enabled=False), Rule(model="short", ttl=1.0))
    return Reader(KeyRules(b"a secret of sixteen bytes"), Policy(Terms(), rules))


def request(*headers: tuple[str, str], path: str = PATH, query_string: str = "") -> Request:
    return Request("POST", path, query_string, Headers(headers), Given(BODY))


def test_equal_bytes_are_read_once(reader: Reader, dialect: Counting) -> None:
    first = reader.read(request(("X-A", "1")), BODY, dialect, "up")
    again = reader.read(request(("X-A", "1")), bytes(bytearray(BODY)), dialect, "up")
    assert isinstance(first, Asked)
    assert again is first
    assert dialect.reads == 1


@pytest.mark.parametrize(
    "other",
    [
        request(("X-A", "2")),
        request(("Authorization", "Bearer b")),
        request(path="/other/chat/completions"),
        request(query_string="a=1"),
        Request("PUT", PATH, "", Headers(), Given(BODY)),
    ],
)
def test_what_is_remembered_is_never_taken_for_another_request(
    reader: Reader, dialect: Counting, other: Request
) -> None:
    first = reader.read(request(), BODY, dialect, "up")
    second = reader.read(other, BODY, dialect, "up")
    assert isinstance(first, Asked)
    assert isinstance(second, Asked)
    assert first.key != second.key


def test_another_body_is_another_question(reader: Reader, dialect: Counting) -> None:
    first = reader.read(request(), BODY, dialect, "up")
    second = reader.read(request(), BODY.replace(b'"m"', b'"n"'), dialect, "up")
    assert isinstance(first, Asked)
    assert isinstance(second, Asked)
    assert first.key != second.key


def test_the_terms_are_those_of_the_model(reader: Reader, dialect: Counting) -> None:
    asked = reader.read(request(), BODY.replace(b'"m"', b'"short"'), dialect, "up")
    assert isinstance(asked, Asked)
    assert asked.terms.ttl == 1.0


def test_what_is_not_for_the_cache_is_passed_on_and_that_is_remembered_too(
    reader: Reader, dialect: Counting
) -> None:
    off = b'{"model":"off","messages":[],"cache":{"ttl":1}}'
    passed = reader.read(request(), off, dialect, "up")
    assert passed == Passed(Why.DISABLED, b'{"model":"off","messages":[]}')
    assert reader.read(request(), off, dialect, "up") is passed
    assert reader.read(request(), b"{", dialect, "up") == Passed(Why.UNKEYABLE, b"{")


def test_what_is_remembered_is_bounded_however_long_the_fields_are(reader: Reader) -> None:
    plain = OpenAIChat()
    tracemalloc.start()
    try:
        for number in range(2000):
            long = request(("N", str(number)), ("Long", f"{number:016384}"))
            reader.read(long, BODY, plain, "up")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 8 * 2**20


def test_what_was_said_to_the_cache_is_not_passed_on_with_what_it_leaves_alone(
    reader: Reader, dialect: Counting
) -> None:
    body = b'{"model":"m","messages":[],"store":true,"cache":{"ttl":1}}'
    passed = reader.read(request(), body, dialect, "up")
    assert passed == Passed(Why.STATEFUL, b'{"model":"m","messages":[],"store":true}')
