"""Bodies with shorter texts in them."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from support.chat_answers import values
from support.properties import unhurried

from proxy.compression.compressor import Compressor, Route
from proxy.compression.cut import Cut, tokens
from proxy.compression.prompt import Plan, compress
from proxy.compression.rules import Rule
from proxy.wire.json_texts import replaced

BLANK = Plan(frozenset({Rule.BLANK}))
LINES = "".join(f"Line {number:03} says something about the harbour.\n" for number in range(200))


def test_every_other_byte_stays_as_it_was() -> None:
    body = (
        b'{ "temperature": 1.00, "n":1E0,\n "messages" : [{"role":"user","content":"a  b"}, '
        b'{"role":"tool","content":"c  d"}], "x": {"content": "e  f"}}'
    )
    done = compress(body, BLANK)
    assert done.body == body.replace(b"a  b", b"a b")
    assert done.bytes == 1


@pytest.mark.parametrize(
    ("body", "short"),
    [
        ({"prompt": "a  b"}, {"prompt": "a b"}),
        ({"system": "a  b"}, {"system": "a b"}),
        ({"instructions": "a  b", "input": "c  d"}, {"instructions": "a b", "input": "c d"}),
        (
            {"system": [{"type": "text", "text": "a  b"}]},
            {"system": [{"type": "text", "text": "a b"}]},
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a  b"}]}]},
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a b"}]}]},
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a  b"}]}]},
            {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a b"}]}]},
        ),
    ],
)  # fmt: skip
def test_texts_are_found_where_prompts_have_them(body: object, short: object) -> None:
    assert orjson.loads(compress(orjson.dumps(body), BLANK).body) == short


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "assistant", "content": "a  b"}]},
        {"messages": [{"role": "tool", "content": "a  b"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "text": "a  b"}]}]},
        {"prompt": ["a  b"]},
        {"metadata": {"prompt": "a  b"}},
        {"messages": "a  b", "input": 7},
        {"messages": [{"role": 7, "content": "a  b"}, "a  b"]},
        ["a  b"],
    ],
)
def test_all_else_is_left_alone(body: object) -> None:
    raw = orjson.dumps(body)
    assert compress(raw, BLANK) == (raw, 0, 0)
    assert compress(b"a  b", BLANK) == (b"a  b", 0, 0)


def test_the_context_is_cut_before_the_question_is() -> None:
    asks = "What does it say of whales? " * 20
    body = {
        "messages": [
            {"role": "system", "content": LINES},
            {"role": "user", "content": asks},
        ]
    }
    done = compress(orjson.dumps(body), Plan(max_tokens=600, where=Cut.TAIL))
    system, user = orjson.loads(done.body)["messages"]
    assert user["content"] == asks
    assert system["content"].startswith("Line 000")
    assert tokens(system["content"]) + tokens(asks) <= 600
    assert done.tokens > 1500


@given(values)
@unhurried
def test_any_text_at_any_place_can_be_replaced(value: object) -> None:
    found: dict[tuple[str | int, ...], str] = {}

    def walk(value: object, place: tuple[str | int, ...]) -> object:
        if isinstance(value, str):
            found[place] = value[::-1]
            return value[::-1]
        if isinstance(value, dict):
            return {name: walk(each, (*place, name)) for name, each in value.items()}
        if isinstance(value, list):
            return [walk(each, (*place, at)) for at, each in enumerate(value)]
        return value

    wanted = walk(value, ())
    assert orjson.loads(replaced(orjson.dumps(value), found)) == wanted
    assert replaced(orjson.dumps(value), {}) == orjson.dumps(value)


def test_the_first_route_that_matches_counts_and_what_it_saves_is_counted() -> None:
    compressor = Compressor([Route("/a*", plan=BLANK), Route(model="m", plan=Plan(max_tokens=9))])
    assert compressor.plan("/a/b", "m", "openai_chat") == BLANK
    assert compressor.plan("/b", "m", "openai_chat") == Plan(max_tokens=9)
    assert compressor.plan("/b", "n", "openai_chat") is None
    done = compressor.compress(b'{"prompt":"a' + b" " * 400 + b'b"}', BLANK)
    compressor.note(b"key", done)
    assert compressor.saved(b"key") == done.tokens == 100
    assert compressor.saved(b"other") == 0
    counts = compressor.counts
    assert (counts.requests, counts.tokens, counts.bytes) == (1, 100, 399)
    compressor.note(b"other", compressor.compress(b'{"prompt":"a b"}', BLANK))
    assert counts.requests == 1
