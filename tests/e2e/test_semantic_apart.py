"""However alike two questions are: what is asked in other surroundings is another question."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from support.raw_chat import question
from support.scene import Scene, scene
from support.worded import (
    ALIKE,
    ALIKE_TOO,
    ASKED,
    HIT,
    NGRAM,
    UNLIKE,
    answering,
    learned,
    lie,
    ready,
    said,
    told,
)

Json = dict[str, Any]

SYSTEM = {"role": "system", "content": "Be kind."}
EARLIER = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good day."}]
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {}}}

# What surrounds a question: each of these makes it another one, alone and with others.
BEFORE = (
    [],
    [SYSTEM],
    [{**SYSTEM, "content": "Be kind"}],
    [{**SYSTEM, "role": "developer"}],
    EARLIER,
    [SYSTEM, *EARLIER],
    [EARLIER[0]],
)
BODIES: tuple[Json, ...] = (
    {},
    {"model": "other"},
    {"temperature": 0},
    {"temperature": 0.5},
    {"seed": 1},
    {"n": 2},
    {"top_p": 0.9},
    {"stop": ["."]},
    {"max_tokens": 5},
    {"tools": [TOOL]},
    {"tools": [TOOL], "tool_choice": "none"},
    {"response_format": {"type": "json_object"}},
    {"logit_bias": {"5": 1}},
    {"a_field_of_tomorrow": None},
    {"a_field_of_tomorrow": {"deep": [1]}},
)
HEADERS = ("", "X-Cache-Namespace: b\r\n", "X-Tenant: b\r\n", "OpenAI-Organization: o\r\n")
CREDENTIALS = ("sk-one", "sk-two")
WORDS = (ASKED, ALIKE, ALIKE_TOO, ASKED.upper(), UNLIKE)


class Surroundings:
    """All of a request but the last words of its user."""

    def __init__(self, before: list[Json], body: Json, headers: str, credential: str) -> None:
        self.before = before
        self.body = body
        self.headers = headers
        self.credential = credential

    def __repr__(self) -> str:
        return f"{self.before} {self.body} {self.headers!r} {self.credential}"

    async def ask(self, s: Scene, words: str) -> tuple[tuple[str | None, str | None], str]:
        """What the cache tells, and the answer."""
        messages = [*self.before, {"role": "user", "content": words}]
        sent = question(headers=self.headers, messages=messages, **self.body)
        client = await s.client()
        await client.send(sent.replace(b"sk-one", self.credential.encode()))
        reply = await client.response()
        client.close()
        return told(reply), said(reply)

    @property
    def name(self) -> str:
        """What the backend will call them."""
        header, _, value = self.headers.strip().lower().partition(": ")
        return _name(self.before, self.body, f"{header}={value}", self.credential)


def _name(before: list[Json], body: Json, header: str, credential: str) -> str:
    whole = orjson.dumps([before, body, header, credential], option=orjson.OPT_SORT_KEYS)
    return blake2b(whole, digest_size=8).hexdigest()


SURROUNDINGS = st.builds(
    Surroundings,
    st.sampled_from(BEFORE),
    st.sampled_from(BODIES),
    st.sampled_from(HEADERS),
    st.sampled_from(CREDENTIALS),
)


@given(asked=st.lists(st.tuples(SURROUNDINGS, st.sampled_from(WORDS)), min_size=2, max_size=12))
@settings(max_examples=15)
async def test_no_answer_leaves_its_surroundings_though_the_index_says_all_are_equal(
    asked: list[tuple[Surroundings, str]],
) -> None:
    async with scene(semantic=NGRAM) as s:
        await ready(s.proxy)
        lie(s.proxy)
        answering(s, lambda _asked, number: str(number))
        answers: dict[str, str] = {}  # whose surroundings each answer was made in
        for surroundings, words in asked:
            calls = s.up.calls
            _, answer = await surroundings.ask(s, words)
            await learned(s.proxy)
            if s.up.calls > calls:
                answers[answer] = surroundings.name
            assert answers[answer] == surroundings.name


async def test_in_the_same_surroundings_it_is_found() -> None:
    """Or the above would show nothing."""
    async with scene(semantic=NGRAM) as s:
        await ready(s.proxy)
        lie(s.proxy)
        answering(s, lambda _asked, number: str(number))
        for before in BEFORE:
            for body in BODIES[:3]:
                here = Surroundings(before, body, HEADERS[1], CREDENTIALS[1])
                verdict, first = await here.ask(s, ASKED)
                assert verdict[0] == "MISS"
                await learned(s.proxy)
                assert await here.ask(s, ALIKE) == (HIT, first)
