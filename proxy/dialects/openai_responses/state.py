"""What keeps a question to the Responses API from being answered by a stored answer.

A request may build on what another one left at the backend, leave something there for others, or
have the backend do something: search, run code, call a server. A stored answer can do none of that.
Tools that the caller runs are another matter: the answer then only asks for them, as in a chat.
"""

from __future__ import annotations

from typing import Final

from proxy.model.decision import Why
from proxy.model.query import Refusal

Json = dict[str, object]

# Members by which a request leaves something behind, or builds on what another one left. That
# ``store`` is true where it is left out does not count: see docs/decisions/0016-responses.md.
STATE: Final = ("store", "background", "previous_response_id", "conversation")
# Options about this very call: it only prepares the backend's own cache, or tells how it met that.
_OF_THIS_CALL: Final = ("prewarm", "comparison_response_id")
# Tools that the caller runs. Whatever is not known to be one may be run by the backend.
_CALLERS_TOOLS: Final = frozenset(
    {"function", "custom", "local_shell", "apply_patch", "computer", "computer_use_preview"}
)
_REFERENCE: Final = "item_reference"  # to an item that is kept at the backend


def refuse(asked: Json, state: tuple[str, ...]) -> Refusal | None:
    """Why ``asked``, a request, is the backend's alone; None if it is not.

    Args:
        asked: the body.
        state: the members of ``STATE`` that count.
    """
    for name in state:
        if asked.get(name):
            return Refusal(Why.STATEFUL, name)
    if asked.get("generate") is False:
        return Refusal(Why.STATEFUL, "a prompt is prepared, nothing is asked")
    options = asked.get("prompt_cache_options")
    if isinstance(options, dict) and (
        told := [name for name in _OF_THIS_CALL if options.get(name)]
    ):
        return Refusal(Why.STATEFUL, told[0])
    prompt = asked.get("prompt")
    if isinstance(prompt, dict) and not prompt.get("version"):
        return Refusal(Why.STATEFUL, "a prompt of which the latest version counts")
    items = asked.get("input")
    given = [asked.get("tools")]
    for item in items if isinstance(items, list) else ():
        if not isinstance(item, dict):
            continue
        # Of messages and references alone the type may be left out.
        if (item.get("type") or ("" if "role" in item else _REFERENCE)) == _REFERENCE:
            return Refusal(Why.STATEFUL, "a reference to an item")
        given.append(item.get("tools"))
    return _refuse_tools(given)


def refuse_answer(answer: Json, state: tuple[str, ...]) -> Refusal | None:
    """Why ``answer``, a response, is nobody else's, by what it says of its request; None if it is.

    A prompt that is kept at the backend may bring tools that the request does not name.
    """
    for name in state:
        if name != "store" and answer.get(name):
            return Refusal(Why.STATEFUL, name)
    return _refuse_tools([answer.get("tools")])


def brings_schemas(asked: Json) -> bool:
    """Whether there are schemas in the input, or JSON in which a model wrote.

    Tools come in the input, and formats of the answers from there on; a search for tools was called
    with an object rather than a text.
    """
    items = asked.get("input")
    return isinstance(items, list) and any(
        isinstance(item, dict)
        and (item.get("tools") or item.get("text") or isinstance(item.get("arguments"), dict))
        for item in items
    )


def _refuse_tools(given: list[object]) -> Refusal | None:
    for tools in given:
        if tools is not None and not (isinstance(tools, list) and all(map(_callers, tools))):
            return Refusal(Why.HOSTED_TOOLS)
    return None


def _callers(tool: object) -> bool:
    """Whether ``tool`` is surely run by the caller."""
    match tool:
        case {"type": "namespace", "tools": list(tools)}:
            return all(map(_callers, tools))
        case {"type": "shell", "environment": {"type": "local"}}:
            return True
        case {"type": "tool_search", "execution": "client"}:
            return True
        case {"type": str(kind)}:
            return kind in _CALLERS_TOOLS
        case _:
            return False
