"""What the user wants of every dialect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from proxy.dialects.negative import NONE, Negative
from proxy.wire.json_pointer import Pointer


@dataclass(frozen=True, slots=True)
class Wishes:
    """What of a request counts, and which whole answers are kept."""

    inert: frozenset[str] = frozenset()  # top-level members that do not change the answer
    store_truncated: bool = False  # answers cut short by a length limit or a content filter
    store_tool_calls: bool = True  # answers that call tools
    json_without_usage: bool = False  # documents even of streams that lack the token counts
    negative: Negative = NONE  # which errors, and whether answers that say nothing, for a moment
    steered: bool = True  # a member ``cache`` in LiteLLM's words is an order to the cache
    confidence: Pointer | None = None  # to where an answer says how sure it is, from 0 to 1


NO_WISHES: Final = Wishes()
