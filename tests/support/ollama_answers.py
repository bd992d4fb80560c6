"""Ollama's answers of every shape, as documents and as the streams that it makes of them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from support.chat_answers import values, words

Json = dict[str, Any]

_KNOWN = """
    model created_at remote_model remote_host message response thinking done done_reason error
    context logprobs role content tool_calls image images prompt messages name options
    total_duration load_duration prompt_eval_count prompt_eval_duration eval_count eval_duration
"""
strange = st.dictionaries(words.filter(lambda name: name not in _KNOWN.split()), values, max_size=2)
_times = st.datetimes().map(lambda time: f"{time.isoformat()}Z")
_counts = st.integers(0, 2**53 - 1)
_metrics = st.fixed_dictionaries(
    {"total_duration": _counts, "eval_count": _counts},
    optional={"load_duration": _counts, "prompt_eval_count": _counts},
)
_about = st.fixed_dictionaries(
    {"model": words, "created_at": _times},
    optional={"remote_model": words, "remote_host": words},
)
_ended = st.fixed_dictionaries({"done": st.just(True), "done_reason": st.just("stop")})
_logprobs = st.lists(
    st.fixed_dictionaries({"token": words, "logprob": st.floats(-99, 0)}), min_size=1, max_size=4
)
_logged = st.just({}) | st.fixed_dictionaries({"logprobs": _logprobs})
_call = st.fixed_dictionaries(
    {
        "function": st.fixed_dictionaries(
            {
                "index": st.integers(0, 9),
                "name": words,
                "arguments": st.dictionaries(words, values, max_size=3),
            }
        )
    },
    optional={"id": words},
)
_message = st.builds(
    lambda extra, members: extra | members,
    strange,
    st.fixed_dictionaries(
        {"role": st.just("assistant"), "content": words},
        optional={
            "thinking": words.filter(bool),
            "tool_calls": st.lists(_call, min_size=1, max_size=3),
        },
    ),
)
_chats = st.builds(
    lambda extra, about, message, *ended: (
        {**extra, **about, "message": message} | ended[0] | ended[1] | ended[2]
    ),
    strange,
    _about,
    _message,
    _ended,
    _metrics,
    _logged,
)
_completions = st.builds(
    lambda extra, about, said, *ended: extra | about | said | ended[0] | ended[1] | ended[2],
    strange,
    _about,
    st.fixed_dictionaries(
        {"response": words},
        optional={
            "thinking": words.filter(bool),
            "context": st.lists(st.integers(0, 200_000), min_size=1, max_size=6),
        },
    ),
    _ended,
    _metrics,
    _logged,
)
documents = _chats | _completions


def says_something(document: Json) -> bool:
    """Whether there is an answer in ``document``."""
    said = document.get("message", document)
    return any(said.get(name) for name in ("content", "response", "thinking", "tool_calls"))


@st.composite
def streams(draw: st.DrawFn, document: Json) -> list[Json]:
    """Lines as the server might send them for ``document``: thoughts first, calls by and by.

    What is said last may stand in the last line, the one that is done.
    """
    chat = "message" in document
    said = document["message"] if chat else document
    main = "content" if chat else "response"
    parts: list[Json] = []
    if "thinking" in said:  # an empty one is never told
        parts += [{"thinking": piece, main: ""} for piece in draw(_cuts(said["thinking"]))]
    pieces = draw(_cuts(said[main]))
    last = pieces.pop() if draw(st.booleans()) else ""
    parts += [{main: piece} for piece in pieces]
    if chat:
        parts += [{main: "", "tool_calls": [call]} for call in said.get("tool_calls", ())]
    common = {
        name: document[name]
        for name in ("model", "remote_model", "remote_host")
        if name in document
    }
    told: list[Json] = []
    for part in parts:
        spoken = {"message": {"role": "assistant", **part}} if chat else part
        told.append({**common, "created_at": draw(_times), **spoken, "done": False})
    end = {name: value for name, value in document.items() if name not in ("thinking", "message")}
    if chat:
        end["message"] = {
            name: last if name == main else value
            for name, value in said.items()
            if name not in ("thinking", "tool_calls")
        }
    else:
        end[main] = last
    told.append(end)
    logged = end.pop("logprobs", [])
    at = sorted(
        draw(st.lists(st.integers(0, len(told) - 1), min_size=len(logged), max_size=len(logged)))
    )
    for each, place in zip(logged, at, strict=True):
        told[place].setdefault("logprobs", []).append(each)
    return told


@st.composite
def _cuts(draw: st.DrawFn, text: str) -> list[str]:
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    pieces = [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]
    return [piece for piece in pieces if piece] or [""]
