"""Responses of every shape, as documents and as the streams that backends make of them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from support.chat_answers import values, words
from support.responses_told import told

Json = dict[str, Any]

_KNOWN = """
    id object created_at status model output usage error incomplete_details completed_at tools
    background previous_response_id conversation
    type role content summary encrypted_content arguments input name call_id phase
    text refusal annotations logprobs
"""
strange = st.dictionaries(words.filter(lambda name: name not in _KNOWN.split()), values, max_size=2)
_ids = st.text("abcdef0123456789", min_size=4, max_size=8)


def _made(members: Json, optional: Json | None = None) -> st.SearchStrategy[Json]:
    """Objects with these members, and with others that nobody has heard of."""
    known: st.SearchStrategy[Json] = st.fixed_dictionaries(members, optional=optional or {})
    return st.tuples(strange, known).map(lambda both: both[0] | both[1])


_logprob = st.fixed_dictionaries(
    {"token": words, "logprob": st.floats(-99, 0), "bytes": st.lists(st.integers(0, 255))}
)
_note = _made({"type": st.sampled_from(["url_citation", "file_citation"]), "title": words})
_text = _made(
    {"type": st.just("output_text"), "text": words, "annotations": st.lists(_note, max_size=2)},
    {"logprobs": st.none() | st.lists(_logprob, max_size=2)},
)
_refusal = _made({"type": st.just("refusal"), "refusal": words})
_done = st.just("completed")
_message = _made(
    {
        "id": _ids,
        "type": st.just("message"),
        "role": st.just("assistant"),
        "status": _done,
        "content": st.lists(_text | _refusal, max_size=3),
    },
    {"phase": st.sampled_from(["commentary", "final_answer"])},
)
_reasoning = _made(
    {
        "id": _ids,
        "type": st.just("reasoning"),
        "summary": st.lists(_made({"type": st.just("summary_text"), "text": words}), max_size=2),
    },
    {
        "content": st.none()
        | st.lists(_made({"type": st.just("reasoning_text"), "text": words}), max_size=2),
        "encrypted_content": st.none() | words,
        "status": st.none() | _done,
    },
)
_function = _made(
    {
        "id": _ids,
        "type": st.just("function_call"),
        "call_id": words,
        "name": words,
        "arguments": words,
    },
    {"status": _done},
)
_custom = _made(
    {
        "id": _ids,
        "type": st.just("custom_tool_call"),
        "call_id": words,
        "name": words,
        "input": words,
    }
)
_usage = st.fixed_dictionaries(
    {"input_tokens": st.integers(0, 9999), "output_tokens": st.integers(0, 9999)},
    optional={"output_tokens_details": st.just({"reasoning_tokens": 3})},
)

documents = _made(
    {
        "id": _ids,
        "object": st.just("response"),
        "created_at": st.integers(0, 2**53 - 1),
        "status": _done,
        "error": st.none(),
        "incomplete_details": st.none(),
        "model": words,
        "output": st.lists(
            _message | _reasoning | _function | _custom,
            max_size=4,
            unique_by=lambda item: item["id"],
        ),
        "usage": _usage,
    },
    {"completed_at": st.integers(0, 2**53 - 1), "background": st.just(False)},
)


def says_something(document: Json) -> bool:
    """Whether ``document`` holds an answer, and not only thoughts and empty messages."""
    return any(
        item["type"] in ("function_call", "custom_tool_call")
        or any(part.get("text") or part.get("refusal") for part in item.get("content") or ())
        for item in document["output"]
        if item["type"] != "reasoning"
    )


@st.composite
def streams(draw: st.DrawFn, document: Json) -> list[Json]:
    """Events as a backend might send them for ``document``, its texts cut anywhere."""

    def cut(text: str) -> list[str]:
        places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
        return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]

    return list(told(document, cut))
