"""A plain client: it asks, listens, and notes what it heard and when."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import aiohttp

from proxy.model.errors import SidecacheError

_LONGEST_WAIT: Final = aiohttp.ClientTimeout(total=10.0)  # seconds; ten times what answers take
_DATA: Final = b"data: "
_DONE: Final = b"[DONE]"


class NotAsTold(SidecacheError):
    """The proxy's: it did not do what was said of it. The text says what it did."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said, whatever form it came in."""

    id: str
    text: str
    tokens: int  # of the question and the answer


@dataclass(frozen=True, slots=True)
class Heard:
    """A response as its caller heard it. Moments are seconds on the caller's clock."""

    verdict: str  # the X-Cache header, "" without one
    why: str  # the X-Cache-Reason header
    media_type: str
    body: bytes
    asked_at: float
    moments: tuple[float, ...]  # when each event of a stream came; a document is one
    ended_at: float
    answer: Answer

    @property
    def took_s(self) -> float:
        """Seconds from asking to the last byte."""
        return self.ended_at - self.asked_at


class Caller:
    """Asks one server, and remembers all it heard.

    Args:
        url: the server's origin.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.heard: list[Heard] = []
        self._session = session
        self._url = f"{url}/v1/chat/completions"
        self._clock = clock

    async def ask(
        self,
        question: bytes,
        *,
        credential: str = "ada",
        listening: Callable[[int], None] = lambda _count: None,
    ) -> Heard:
        """The response to ``question``, a request's body.

        Args:
            credential: the caller's API key.
            listening: told how many events have come, at each of them.

        Raises:
            NotAsTold: there was no whole answer.
        """
        headers = {"Authorization": f"Bearer {credential}", "Content-Type": "application/json"}
        asked_at = self._clock()
        lines: list[bytes] = []
        moments: list[float] = []
        try:
            async with self._session.post(
                self._url, data=question, headers=headers, timeout=_LONGEST_WAIT
            ) as response:
                async for line in response.content:
                    lines.append(line)
                    if line.strip():
                        moments.append(self._clock())
                        listening(len(moments))
        except TimeoutError as error:
            raise NotAsTold(f"no whole answer came in {_LONGEST_WAIT.total:.0f} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise NotAsTold(f"no whole answer came: {type(error).__name__}") from error
        ended_at = self._clock()
        body = b"".join(lines)
        if response.status != 200:  # noqa: PLR2004 - RFC 9110, section 15.3.1
            raise NotAsTold(f"status {response.status} came in place of an answer")
        heard = Heard(
            verdict=response.headers.get("X-Cache", ""),
            why=response.headers.get("X-Cache-Reason", ""),
            media_type=response.content_type,
            body=body,
            asked_at=asked_at,
            moments=tuple(moments),
            ended_at=ended_at,
            answer=_answer_in(body, response.content_type),
        )
        self.heard.append(heard)
        return heard


def question(text: str, *, stream: bool = False) -> bytes:
    """The body of a request that asks ``text``; a stream is to end with its token counts."""
    asked: dict[str, object] = {"model": "demo", "messages": [{"role": "user", "content": text}]}
    if stream:
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(asked).encode()


def respelled(body: bytes) -> bytes:
    """The same JSON in other bytes: other order of members, other space, a letter escaped."""
    members = dict(reversed(json.loads(body).items()))
    return json.dumps(members, indent=4).replace('"role"', '"\\u0072ole"').encode()


def _answer_in(body: bytes, media_type: str) -> Answer:
    try:
        if media_type != "text/event-stream":
            document = json.loads(body)
            text = document["choices"][0]["message"]["content"]
            return Answer(document["id"], text, document["usage"]["total_tokens"])
        *events, end = [line[len(_DATA) :] for line in body.splitlines() if line.startswith(_DATA)]
        chunks = [json.loads(event) for event in events]
        deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
        text = "".join(delta.get("content", "") for delta in deltas)
        if end != _DONE:
            raise NotAsTold("a stream ended without [DONE]")
        return Answer(chunks[-1]["id"], text, chunks[-1]["usage"]["total_tokens"])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise NotAsTold(f"what came is no chat completion: {type(error).__name__}") from error
