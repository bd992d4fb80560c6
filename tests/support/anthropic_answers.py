"""Messages of every shape, as documents and as the streams that backends make of them."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]

# JSON's text, less the lone surrogates that UTF-8 cannot carry; normalised, so that texts which
# differ are not one text in two spellings.
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).map(
    lambda text: unicodedata.normalize("NFC", text)
)
some_words = words.filter(bool)
# Names of members: none of the protocol's own, and no two that differ only in case.
names = st.text("abc", min_size=1, max_size=3).map(lambda text: f"x_{text}")
numbers = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
strange = st.dictionaries(names, values, max_size=2)
_count = st.integers(0, 99999)
counts = st.fixed_dictionaries(
    {"input_tokens": _count, "output_tokens": _count},
    optional={
        "cache_creation_input_tokens": st.none() | _count,
        "cache_read_input_tokens": st.none() | _count,
        "cache_creation": st.just({"ephemeral_5m_input_tokens": 3}),
        "server_tool_use": st.none() | st.just({"web_search_requests": 1}),
        "output_tokens_details": st.just({"thinking_tokens": 7}),
        "service_tier": st.just("standard"),
    },
)
_citation = st.fixed_dictionaries(
    {"type": st.just("char_location"), "cited_text": words, "document_index": st.integers(0, 9)}
)
_result = st.fixed_dictionaries({"type": st.just("web_search_result"), "title": words})


def _block(kind: str, members: Json, optional: Json | None = None) -> st.SearchStrategy[Json]:
    known = st.fixed_dictionaries({"type": st.just(kind), **members}, optional=optional or {})
    return st.tuples(strange, known).map(lambda both: both[0] | both[1])


_input = st.dictionaries(names, values, max_size=3)
_text = _block(
    "text", {"text": words}, {"citations": st.none() | st.lists(_citation, min_size=1, max_size=3)}
)
_thinking = _block("thinking", {"thinking": words}, {"signature": words})
_call = _block("tool_use", {"id": words, "name": words, "input": _input})
_server_call = _block("server_tool_use", {"id": words, "name": words, "input": _input})
_mcp_call = _block("mcp_tool_use", {"id": words, "server_name": words, "input": _input})
_whole = (
    _block("redacted_thinking", {"data": words})
    | _block("web_search_tool_result", {"tool_use_id": words, "content": st.lists(_result)})
    | _block("mcp_tool_result", {"tool_use_id": words, "is_error": st.booleans()})
)
blocks = _text | _thinking | _call | _server_call | _mcp_call | _whole


@st.composite
def documents(draw: st.DrawFn) -> Json:
    """A whole message that says something."""
    content = draw(st.lists(blocks, max_size=4))
    if not says_something(content):
        content.append({"type": "text", "text": draw(some_words)})
    stop, sequence = draw(
        st.sampled_from([("end_turn", None), ("tool_use", None), ("stop_sequence", "END")])
    )
    document = draw(strange) | {"id": draw(words), "type": "message", "role": "assistant"}
    document |= {"model": draw(words), "content": content, "stop_reason": stop}
    document |= {"stop_sequence": sequence, "usage": draw(counts)}
    return document | draw(st.sampled_from([{}, {"stop_details": None}, {"container": None}]))


def says_something(content: list[Json]) -> bool:
    """Whether any of these blocks does, as far as these strategies make them."""
    return any(
        bool(block[block["type"]]) if block["type"] in ("text", "thinking") else True
        for block in content
    )


@st.composite
def streams(draw: st.DrawFn, document: Json) -> list[Json]:
    """Events as a backend might send them for ``document``: small, and with pings between."""
    usage = document["usage"]
    late = {
        name: usage[name]
        for name in ("input_tokens", "cache_read_input_tokens", "server_tool_use")
        if usage.get(name) is not None and draw(st.booleans())
    }
    early = {name: 1 if name in late else value for name, value in usage.items()}
    opening = document | {"content": [], "stop_reason": None, "stop_sequence": None}
    events: list[Json] = [
        {"type": "message_start", "message": opening | {"usage": early | {"output_tokens": 1}}}
    ]
    for index, block in enumerate(document["content"]):
        start, deltas = _told(draw, block)
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        for delta in deltas:
            if not draw(st.integers(0, 9)):
                events.append({"type": "ping"})
            events.append({"type": "content_block_delta", "index": index, "delta": delta})
        events.append({"type": "content_block_stop", "index": index})
    ending = {
        name: document[name]
        for name in ("stop_reason", "stop_sequence", "stop_details")
        if name in document
    }
    late |= {"output_tokens": usage["output_tokens"]}
    return [
        *events,
        {"type": "message_delta", "delta": ending, "usage": late},
        {"type": "message_stop"},
    ]


def _told(draw: st.DrawFn, block: Json) -> tuple[Json, list[Json]]:
    kind = block["type"]
    if kind == "text":
        deltas = [{"type": "text_delta", "text": piece} for piece in draw(_cuts(block["text"]))]
        for citation in block.get("citations") or ():
            after = draw(st.integers(0, len(deltas)))
            deltas.insert(after, {"type": "citations_delta", "citation": citation})
        # The order of citations among themselves is that of the document.
        cited = iter(block.get("citations") or ())
        for delta in deltas:
            if delta["type"] == "citations_delta":
                delta["citation"] = next(cited)
        return block | {"text": ""} | ({"citations": []} if block.get("citations") else {}), deltas
    if kind == "thinking":
        pieces = draw(_cuts(block["thinking"]))
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces]
        if "signature" not in block:
            return block | {"thinking": ""}, deltas
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
        return block | {"thinking": "", "signature": ""}, deltas
    if "input" in block:
        text = (
            json.dumps(block["input"], ensure_ascii=draw(st.booleans())) if block["input"] else ""
        )
        deltas = [
            {"type": "input_json_delta", "partial_json": piece} for piece in draw(_cuts(text))
        ]
        return block | {"input": {}}, deltas
    return block, []


@st.composite
def _cuts(draw: st.DrawFn, text: str) -> list[str]:
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


def written(events: list[Json], eol: str = "\n") -> bytes:
    """``events`` as a stream."""
    frames = (f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in events)
    return "".join(frames).replace("\n", eol).encode()
