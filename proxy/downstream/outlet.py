"""The way to one client, on which a reply may be begun before the request's task is woken."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Protocol

from proxy.downstream.respond import Line, Opening, Progress
from proxy.downstream.service import Service
from proxy.model.errors import ProtocolViolation
from proxy.model.outcome import Outcome, Reply
from proxy.model.outlet import Draft


class LastingLine(Line, Protocol):
    """The connection that the request came on."""

    @property
    def lasting(self) -> bool:
        """Whether what follows the request can be made sense of: no bytes were lost."""
        ...


class Outlet:
    """A ``proxy.model.outlet.Outlet`` for a request that any other may follow, in HTTP/1.1.

    Args:
        progress: of the reply; written when it is begun.
    """

    __slots__ = ("_line", "_own", "_progress", "_service", "begun")

    def __init__(self, line: LastingLine, service: Service, progress: Progress) -> None:
        self._line: LastingLine | None = line
        self._service = service
        self._progress = progress
        self._own: Callable[[], Outcome] | None = None
        self.begun: Draft | None = None  # what was sent

    @property
    def outcome(self) -> Outcome | None:
        """What is known about the request whose reply was begun; None: none was."""
        return None if self._own is None else self._own()

    def draft(self, reply: Reply, body: bytes) -> Draft | None:
        service = self._service
        if service.draining:
            return None  # it is the last on its connection, and has to say so
        try:
            opening = Opening(reply, service.date(), head_only=False, modern=True, persist=True)
        except ProtocolViolation:
            return None  # whoever is to send it will say so
        return opening.draft(body)

    def begin(self, draft: Draft, timing: str, own: Callable[[], Outcome]) -> bool:
        line, progress = self._line, self._progress
        if line is None or not line.lasting:
            return False
        try:
            line.write(draft.before + timing.encode() + draft.after)
        except ConnectionError:
            return False  # the task is about to be told
        self.begun, self._own = draft, own
        progress.status = draft.reply.head.status
        progress.sent = draft.sent
        if isinstance(draft.reply.body, bytes) and not line.writing_paused:
            progress.complete = True  # whether or not its task comes to say so
            progress.ended = monotonic()
        return True

    def close(self) -> None:
        """Let go of the connection: nothing can be begun any more. Idempotent."""
        self._line = self.begun = self._own = None
