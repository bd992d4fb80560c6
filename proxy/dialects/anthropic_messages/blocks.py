"""What stands in the blocks of a request's messages besides words: tools, and JSON of any shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

Json = dict[str, object]

_SCHEMAS: Final = frozenset({"tools", "output_config", "output_format"})
_ADDITION: Final = "tool_addition"  # by reference to a tool that was told of, or with all of it
_BRINGS_JSON: Final = frozenset(
    {"tool_use", "server_tool_use", "mcp_tool_use", "mcp_tool_listing", _ADDITION}
)


def added_tools(asked: Json) -> Iterator[object]:
    """The tools that are defined in the midst of the conversation rather than before it."""
    for block in _blocks(asked):
        tool = block.get("tool") if block.get("type") == _ADDITION else None
        if isinstance(tool, dict) and "definition" in tool:
            yield tool["definition"]


def ordered_in(asked: Json) -> frozenset[str]:
    """The members of a body within which the order of members counts.

    In which order a schema names properties decides in which a model writes, and what it wrote
    when it called a tool is told to it again in that order.
    """
    brings = any(str(block.get("type")) in _BRINGS_JSON for block in _blocks(asked))
    return _SCHEMAS | {"messages"} if brings else _SCHEMAS


def listed(value: object) -> list[object]:
    """``value`` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def _blocks(asked: Json) -> Iterator[Json]:
    for message in listed(asked.get("messages")):
        content = message.get("content") if isinstance(message, dict) else None
        yield from (block for block in listed(content) if isinstance(block, dict))
