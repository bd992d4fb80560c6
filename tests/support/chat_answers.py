"""Chat answers of every shape, as documents and as the streams that backends make of them."""

from __future__ import annotations

import unicodedata
from typing import Any

import orjson
from hypothesis import strategies as st

Json = dict[str, Any]

# JSON's text, less the lone surrogates that UTF-8 cannot carry; normalised, so that texts which
# differ are not one text in two spellings.
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).map(
    lambda text: unicodedata.normalize("NFC", text)
)
numbers = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
_KNOWN = """
    id object created model choices usage obfuscation error
    index delta message text logprobs finish_reason token_ids
    role content refusal reasoning reasoning_content tool_calls function_call function
    annotations audio
"""
strange = st.dictionaries(words.filter(lambda name: name not in _KNOWN.split()), values, max_size=2)
counts = st.fixed_dictionaries(
    {"prompt_tokens": st.integers(0, 9999), "completion_tokens": st.integers(0, 9999)},
    optional={"prompt_tokens_details": st.just({"cached_tokens": 3})},
)
_token = st.fixed_dictionaries(
    {
        "token": words,
        "logprob": st.floats(-99, 0),
        "bytes": st.none() | st.lists(st.integers(0, 255), max_size=4),
        "top_logprobs": st.just([]),
    }
)
_logprobs = st.none() | st.fixed_dictionaries(
    {"content": st.none() | st.lists(_token, max_size=3)},
    optional={"refusal": st.none() | st.lists(_token, max_size=2)},
)
_text_logprobs = st.none() | st.fixed_dictionaries(
    {
        "tokens": st.lists(words, max_size=3),
        "token_logprobs": st.lists(st.floats(-99, 0), max_size=3),
        "text_offset": st.lists(st.integers(0, 99), max_size=3),
        "top_logprobs": st.none() | st.lists(st.dictionaries(words, st.floats(-99, 0)), max_size=2),
    }
)


def _extended(members: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return st.tuples(strange, members).map(lambda both: both[0] | both[1])


_call = _extended(
    st.fixed_dictionaries(
        {
            "id": words,
            "type": st.just("function"),
            "function": st.fixed_dictionaries({"name": words, "arguments": words}),
        }
    )
)
_annotation = st.fixed_dictionaries(
    {"type": st.just("url_citation"), "url_citation": st.fixed_dictionaries({"title": words})}
)
_audio = st.fixed_dictionaries(
    {"id": words, "data": st.just("AAECAw=="), "transcript": words, "expires_at": st.integers(0, 9)}
)
_message = _extended(
    st.fixed_dictionaries(
        {"role": st.just("assistant"), "content": st.none() | words},
        optional={
            "refusal": st.none() | words,
            "reasoning_content": st.none() | words,
            "reasoning": words,
            "tool_calls": st.none() | st.lists(_call, max_size=3),
            "function_call": st.none() | st.fixed_dictionaries({"name": words, "arguments": words}),
            "annotations": st.lists(_annotation, max_size=2),
            "audio": st.none() | _audio,
        },
    )
)
_chat_choice = _extended(
    st.fixed_dictionaries(
        {"message": _message, "finish_reason": st.sampled_from(["stop", "tool_calls"])},
        optional={
            "logprobs": _logprobs,
            "token_ids": st.none() | st.lists(st.integers(0, 999), max_size=3),
        },
    )
)
_text_choice = _extended(
    st.fixed_dictionaries(
        {"text": words, "finish_reason": st.just("stop")}, optional={"logprobs": _text_logprobs}
    )
)


def _answers(kind: str, choice: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    created = st.integers(0, 2**53 - 1)
    about: st.SearchStrategy[Json] = st.fixed_dictionaries(
        {"id": words, "object": st.just(kind), "created": created, "model": words},
        optional={"system_fingerprint": st.none() | words, "service_tier": words},
    )
    numbered = st.lists(choice, min_size=1, max_size=3).map(
        lambda choices: [{"index": at, **each} for at, each in enumerate(choices)]
    )
    return st.builds(
        lambda extra, members, choices, usage: extra | members | {"choices": choices} | usage,
        strange,
        about,
        numbered,
        st.fixed_dictionaries({"usage": counts}),
    )


documents = _answers("chat.completion", _chat_choice) | _answers("text_completion", _text_choice)


def same(one: object, other: object) -> bool:
    """Whether two documents are the same to the last type: 1, 1.0 and True are three things."""
    return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        other, option=orjson.OPT_SORT_KEYS
    )


def says_something(document: Json) -> bool:
    """Whether every choice holds an answer, as far as these strategies make any."""
    telling = ["content", "refusal", "reasoning", "reasoning_content", "audio"]
    telling += ["tool_calls", "function_call"]
    return all(
        choice.get("text") or any(choice.get("message", {}).get(name) for name in telling)
        for choice in document["choices"]
    )


@st.composite
def streams(draw: st.DrawFn, document: Json) -> list[Json]:
    """Chunks as a backend might send them for ``document``: small, and those of choices mixed."""
    queues = [_chunks(draw, choice) for choice in document["choices"]]
    common = {name: document[name] for name in document if name not in ("choices", "usage")}
    if common["object"] == "chat.completion":
        common["object"] = "chat.completion.chunk"
    chunks = []
    while queues := [queue for queue in queues if queue]:
        queue = queues[draw(st.integers(0, len(queues) - 1))]
        chunks.append({**common, "choices": [queue.pop(0)], "usage": None})
    return [*chunks, {**common, "choices": [], "usage": document["usage"]}]


def _chunks(draw: st.DrawFn, choice: Json) -> list[Json]:
    index = choice["index"]
    rest = {name: choice[name] for name in choice if name not in ("message", "text")}
    if "message" not in choice:
        pieces = draw(_cuts(choice["text"]))
        chunks = [{"index": index, "text": piece, "finish_reason": None} for piece in pieces]
        return [*chunks, {**rest, "text": ""}]
    message = choice["message"]
    deltas: list[Json] = [{"role": message["role"], "content": message["content"] and ""}]
    for name, value in message.items():
        if name == "role":
            continue
        if name in ("content", "refusal", "reasoning", "reasoning_content") and value:
            deltas += [{name: piece} for piece in draw(_cuts(value))]
        elif name == "tool_calls" and value:
            for at, call in enumerate(value):
                function = {**call["function"], "arguments": ""}
                deltas.append({name: [{**call, "index": at, "function": function}]})
                for piece in draw(_cuts(call["function"]["arguments"])):
                    deltas.append({name: [{"index": at, "function": {"arguments": piece}}]})
        elif name == "annotations":
            deltas += [{name: [item]} for item in value] or [{name: []}]
        else:
            deltas.append({name: value})
    chunks = [{"index": index, "delta": delta, "finish_reason": None} for delta in deltas]
    return [*chunks, {"delta": {}, **rest}]


@st.composite
def _cuts(draw: st.DrawFn, text: str) -> list[str]:
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]
