"""A flight that another replica leads, as it is heard here."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final

from proxy.fleet.content import failure_as_bytes, read_failure, read_head, read_why
from proxy.fleet.counts import Counts
from proxy.fleet.letter import Conversation, Kind, Letter
from proxy.model.errors import BrokenReply, ConnectFailed, RelayBroken
from proxy.model.meeting import Alone, Begun, GivenUp, Joined, Meeting, Stored
from proxy.model.message import Head

_MOST_BYTES: Final = 8 * 2**20  # that have come and were not read
_LAST: Final = frozenset({Kind.NO, Kind.STORED, Kind.GIVEN_UP, Kind.FAILED, Kind.END, Kind.BROKEN})


class Following:
    """What another replica tells of its flight; an ``Arrival`` once its body begins.

    Until then nothing is lost if it falls silent or breaks off: nobody has heard any of it.

    Args:
        leader: the replica that asks.
        conversation: opens its letters.
        silent_s: who says nothing for so long is dead.
        ended: told once that nothing more is to be heard, and whether the other is to be told.
    """

    def __init__(
        self,
        leader: str,
        conversation: Conversation,
        counts: Counts,
        *,
        silent_s: float,
        ended: Callable[[bool], None],
    ) -> None:
        self.leader = leader
        self._conversation = conversation
        self._counts = counts
        self._silent_s = silent_s
        self._ended = ended
        self._letters: deque[tuple[Kind, bytes]] = deque()
        self._bytes = 0
        self._number = 0  # of the next letter
        self._pulse = asyncio.Event()
        self._begun: Begun | None = None
        self._deaf = False  # what comes is of no more use
        self._done = False  # the other has said its last
        self._closed = False

    # -- what comes ---------------------------------------------------------------------------

    def receive(self, letter: Letter) -> None:
        """A letter of this conversation has come, or one that pretends to be."""
        if self._deaf:
            return
        content = self._conversation.open(letter)
        if content is None:
            self._counts.odd += 1
            self._break("a part of the answer was damaged on its way")
        elif letter.number < self._number:
            pass  # it was sent again, by one who could not know that it had come
        elif letter.number > self._number:
            self._break("a part of the answer was lost on its way")
        elif self._bytes + len(content) > _MOST_BYTES:
            self._break("too slow for a flight that another replica leads")
        else:
            self._number += 1
            self._deaf = self._done = letter.kind in _LAST
            self._put(letter.kind, content)

    def cut_off(self) -> None:
        """No letters come for now."""
        if self._begun is None:  # else some may yet come, and none was lost that is not missed
            self._break("the replica that asked cannot be reached")

    def lost(self) -> None:
        """Nothing more will come."""
        if not self._deaf:
            self._break("the replica that asked is gone")

    def _break(self, why: str) -> None:
        self._deaf = True
        self._put(Kind.BROKEN, failure_as_bytes(BrokenReply(why)))

    def _put(self, kind: Kind, content: bytes) -> None:
        self._letters.append((kind, content))
        self._bytes += len(content)
        self._pulse.set()

    async def _next(self, within_s: float) -> tuple[Kind, bytes]:
        """The next letter, beats not counted. Raises TimeoutError after so long without any."""
        while True:
            if not self._letters:
                async with asyncio.timeout(within_s):
                    self._pulse.clear()
                    await self._pulse.wait()
            kind, content = self._letters.popleft()
            self._bytes -= len(content)
            if kind is not Kind.BEAT:
                return kind, content

    # -- before its body ----------------------------------------------------------------------

    async def meet(self, answer_s: float) -> Meeting | None:
        """What comes of it; None if this is nobody to wait for.

        Args:
            answer_s: for the other replica to say that it is there.

        Raises:
            UpstreamError: its call failed before its head came.
        """
        try:
            kind, content = await self._next(answer_s)
            if kind is Kind.HERE:
                kind, content = await self._next(self._silent_s)
            match kind:
                case Kind.STORED:
                    return Stored()
                case Kind.GIVEN_UP:
                    return GivenUp(read_why(content))
                case Kind.FAILED:
                    error = read_failure(content)
                    if isinstance(error, BrokenReply):  # called off, which says nothing of others
                        return None
                    if isinstance(error, ConnectFailed):  # nothing was sent; from here it may be
                        return Alone()
                    raise error
                case Kind.HEAD:
                    begun, heard_at = read_head(content), asyncio.get_running_loop().time()
                    kind, content = await self._next(self._silent_s)
                    if begun is None or kind not in {Kind.PIECE, Kind.END}:
                        return None
                    self._begun = begun
                    self._letters.appendleft((kind, content))
                    self._bytes += len(content)
                    self._counts.followed += 1
                    since_s = asyncio.get_running_loop().time() - heard_at
                    return Joined(self, begun.asked_s + since_s)
                case _:
                    return None
        except TimeoutError:
            return None

    # -- an arrival ---------------------------------------------------------------------------

    @property
    def head(self) -> Head:
        return self._known.head

    @property
    def delimited(self) -> bool:
        # Chunks are not told of: without a length it may have ended with the backend's connection.
        return self.length is not None

    @property
    def length(self) -> int | None:
        return self._known.length

    @property
    def _known(self) -> Begun:
        if self._begun is None:
            raise RuntimeError("its head has not come")
        return self._begun

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            try:
                kind, content = await self._next(self._silent_s)
            except TimeoutError:
                self._counts.broken += 1
                raise RelayBroken("the replica that asked fell silent") from None
            if kind is Kind.PIECE:
                yield content
            elif kind is Kind.END:
                return
            else:
                self._counts.broken += 1
                failure = read_failure(content)
                raise RelayBroken(str(failure)) if isinstance(failure, BrokenReply) else failure

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._ended(not self._done)
