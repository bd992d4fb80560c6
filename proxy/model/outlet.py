"""Where the reply to one request goes, and the beginning of a reply that is sent to many.

As a rule the task of a request sends its reply. Where very many wait for the same answer, to wake
as many tasks takes far longer than all they have to write: so who has the answer may begin the
replies itself, one right after the other, and each task goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from proxy.model.outcome import Outcome, Reply


class Draft(NamedTuple):
    """The beginning of a reply as bytes, for all who are sent the same but for the time it took."""

    reply: Reply  # as to one of them
    before: bytes  # what comes before the value of ``Server-Timing``
    after: bytes  # and behind it, with the body as far as it is there
    sent: int  # bytes of the body in it, without their framing
    last: bytes  # the end of these, as far as anybody looks


class Outlet(Protocol):
    """The way to the client of one request, on which nothing has been sent yet."""

    def draft(self, reply: Reply, body: bytes) -> Draft | None:
        """The beginning of ``reply``; None if it is not to be sent in this way.

        It is good for the outlets of other requests, too, until the loop's next turn.

        Args:
            body: what is there of it, if it is still coming.
        """
        ...

    def begin(self, draft: Draft, timing: str, own: Callable[[], Outcome]) -> bool:
        """Send the beginning of the reply; False if nothing was sent.

        From then on ``draft.reply.head`` is the head of the reply, and no other can be sent.

        Args:
            timing: the value of ``Server-Timing``.
            own: what is known about this request by then, in case it ends before its task goes on.
        """
        ...
