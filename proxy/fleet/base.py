"""What replicas meet by: a post for their letters, and locks that say which of them asks.

A lock saves calls; it never decides what is right. Two who hold one for a moment cost one call
more, and so does a letter that is lost: who needs to know that numbers his.
"""

from __future__ import annotations

import secrets
from typing import Final, NamedTuple, Protocol

from proxy.model.entry import CacheKey
from proxy.model.query import Form

OWNER_CHARACTERS: Final = 16  # of a replica's name, all of them ASCII


def owner() -> str:
    """A name for a replica, as no other has had."""
    return secrets.token_hex(OWNER_CHARACTERS // 2)


def lock_name(key: CacheKey, form: Form) -> bytes:
    """What the lock of a question in one form is called; the digest covers the scope."""
    return key.digest + bytes((form.stream + 2 * form.usage,))


class Holder(NamedTuple):
    """What is in a lock: whose it is."""

    replica: str  # see ``owner``
    flight: bytes  # see ``proxy.fleet.letter``


class Reader(Protocol):
    """Who reads a mailbox. Neither waits nor raises."""

    def receive(self, letter: bytes) -> None:
        """A letter has come: any bytes, from anybody who can reach the mailbox."""
        ...

    def cut_off(self) -> None:
        """Letters may have been lost, or cannot come for now."""
        ...

    def lost(self, replica: str) -> None:
        """All that ``replica`` had to say has come: it is no more, or takes this one for gone."""
        ...


class Post(Protocol):
    """The mailbox of this replica, and the way to those of others."""

    @property
    def owner(self) -> str:
        """What this replica is called, and its mailbox."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether others can reach this replica, and be reached."""
        ...

    async def start(self, reader: Reader) -> None:
        """Open the mailbox, and read it from now on. Raises nothing."""
        ...

    async def send(self, to: str, letter: bytes) -> bool:
        """Put ``letter`` into somebody's mailbox; False if he has none.

        Letters to one mailbox that are sent one after the other come in that order.

        Raises:
            TierError: nobody knows whether it is there.
        """
        ...

    async def close(self) -> None:
        """Take the mailbox away. Raises nothing."""
        ...


class Locks(Protocol):
    """The locks of all replicas that can meet. What asks raises TierError.

    A lock is gone after its lease unless it is renewed.
    """

    @property
    def lease_s(self) -> float:
        """For how long a lock is taken, or renewed."""
        ...

    @property
    def doubtful(self) -> bool:
        """Whether who asks now would likely wait in vain."""
        ...

    async def claim(self, name: bytes, holder: Holder) -> bool:
        """Take a lock that nobody has; whether that was done."""
        ...

    async def holder(self, name: bytes) -> Holder | None:
        """Who has a lock; None if nobody has, or nobody that could be asked."""
        ...

    async def renew(self, name: bytes, holder: Holder) -> bool:
        """Go on having a lock, or have it again; False if it is another's."""
        ...

    async def leave(
        self, name: bytes, holder: Holder, linger_s: float = 0.0, *, sure: bool = False
    ) -> bool:
        """Let a lock go, now or after a while; False if it is another's.

        Args:
            sure: nobody else can have it, so there is no need to look.
        """
        ...

    def close(self) -> None:
        """Let go of what they are kept in. Raises nothing."""
        ...
