"""Which calls do more than answer: they leave something behind, build on it, or act.

An answer from the cache would keep what such a call is for from being done. Tools are judged by
their type. One without a type, or of type ``custom``, is the client's own: the answer only says
what is to be called. So are those of Anthropic's that the client runs (a shell, an editor, a
screen, a browser, a memory), and the search for tools looks at nothing but the request. All others
are run by the backend before it answers, in a container that it keeps, at a server elsewhere, or on
the web as it is at that moment. A type nobody has heard of is taken for one of these.
"""

from __future__ import annotations

from typing import Final

from proxy.dialects.anthropic_messages.blocks import added_tools, listed
from proxy.model.decision import Why
from proxy.model.query import Refusal

_SERVERS: Final = "mcp_servers"
_MEMBERS: Final = (
    "container",  # files and processes that outlive the call
    _SERVERS,  # asked by the backend, and free to do anything
    "thread",  # a conversation that the backend keeps
    "diagnostics",  # how this very call, and the one before it, met the backend's own cache
    "fallback_credit_token",  # may be redeemed once
)
# All have a date behind them, as in ``bash_20250124``; but for the last, which may go without.
_HARMLESS: Final = ("bash_", "text_editor_", "computer_", "browser_", "memory_", "tool_search_tool")


def more_than_asked(
    asked: dict[str, object], inert: frozenset[str], forward: bytes
) -> Refusal | None:
    """Why the call is more than a question; None if it is none.

    Args:
        asked: the body.
        inert: members of which the user says that they do not matter.
        forward: the body to send upstream then.
    """
    if refusal := kept_at_backend(asked, inert, forward):
        return refusal
    if asked.get("max_tokens") == 0:  # asks for no answer but to have the prompt cached there
        return Refusal(Why.STATEFUL, "max_tokens", forward)
    tool = _tool_at_backend([*listed(asked.get("tools")), *added_tools(asked)])
    return Refusal(Why.HOSTED_TOOLS, tool, forward) if tool else None


def kept_at_backend(
    asked: dict[str, object], inert: frozenset[str], forward: bytes
) -> Refusal | None:
    """The same, as far as it is for a member about something that the backend keeps or asks."""
    for name in _MEMBERS:
        if asked.get(name) and name not in inert:
            why = Why.HOSTED_TOOLS if name == _SERVERS else Why.STATEFUL
            return Refusal(why, name, forward)
    return None


def _tool_at_backend(tools: list[object]) -> str:
    """The first of ``tools`` that the backend runs itself, by its type; "" if it runs none."""
    for tool in tools:
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind is None or kind == "custom":
            continue
        if not isinstance(kind, str):
            return "a tool of no known type"
        if not kind.startswith(_HARMLESS):
            return kind
    return ""
