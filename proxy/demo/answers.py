"""What the demo backend says: made up, the same for the same question, and cut into tokens."""

from __future__ import annotations

import re
from typing import Final

_TOPICS: Final = {
    "stampede": "A cache stampede: many callers miss the same entry at the same moment, and the "
    "backend works out one answer a hundred times. The cure is to let one of them ask, and all "
    "the others listen.",
    "sidecar": "A sidecar is a small process that runs beside a service and takes a chore off its "
    "hands, be it encryption, metrics or caching. The service itself need not change.",
    "stream": "A streamed answer comes as server-sent events, a few letters at a time, so that "
    "reading can begin long before the last word has been found.",
    "weather": "This backend has no window. In here it is always mild, and made up.",
}
_TOKEN: Final = re.compile(r"\s*\S+")
_LONGEST_ECHO: Final = 200  # characters; a question is repeated to show that it came through


def answer_to(question: str) -> list[str]:
    """The answer to ``question`` as tokens, never none of them; joined they are its text."""
    asked = question.lower()
    for topic, text in _TOPICS.items():
        if topic in asked:
            return tokens(text)
    echo = " ".join(question.split())[:_LONGEST_ECHO]
    return tokens(
        f'You asked: "{echo}". There is no model behind this demo, so that is all I know.'
    )


def tokens(text: str) -> list[str]:
    """``text`` in words, each with the space before it. Real tokens are shorter; it will do."""
    return _TOKEN.findall(text)
