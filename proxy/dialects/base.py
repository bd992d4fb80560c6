"""What the proxy asks of a dialect: to read, to tell whole from broken, to change the form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from functools import lru_cache
from typing import Final, Protocol, TypeGuard, runtime_checkable

from proxy.model.entry import Entry
from proxy.model.message import Head, Request
from proxy.model.query import Asking, Form, Query, Refusal, Sealed

LOOKED_AT: Final = frozenset({"content-encoding", "content-type"})
"""The request headers (lower case) that what a dialect reads may depend on."""


class Relay(Enum):
    """How somebody who wants one form can hear a flight that comes in another."""

    VERBATIM = "verbatim"  # as it comes
    FILTERED = "filtered"  # as it comes, through ``Dialect.sieve``
    AT_END = "at-end"  # once it is whole, through ``Dialect.render``
    NEVER = "never"  # not without losing something


Sieve = Callable[[bytes], bytes]
"""Fed with pieces of a stream as they come; returns what may go on (b"" while in doubt)."""


class Dialect(Protocol):
    """One protocol. Pure: no clock, no dice, no waiting. Raises nothing of its own."""

    @property
    def name(self) -> str: ...

    def matches(self, method: str, path: str) -> bool:
        """Whether requests to this route are in this dialect; ``path`` is raw."""
        ...

    def read(self, request: Request, body: bytes) -> Query | Refusal:
        """What ``request`` with this ``body`` asks, or why it cannot be cached.

        It depends on nothing else, but for a version (``Versioned``), of the headers only on those
        ``LOOKED_AT``, and not on the order in which the members of an object come that is the body,
        except for the bytes to be sent on. What cannot be cached is forwarded untouched, or as the
        refusal says.
        """
        ...

    def asking(self, query: Query) -> Asking | None:
        """What the user said last, and all the rest; None if that is not a text that comes last."""
        ...

    def answer(self, entry: Entry) -> str | None:
        """What a stored answer says, as one text; None if it says it otherwise."""
        ...

    def arriving(self, head: Head, asked: Form) -> Form | None:
        """The form of a body whose head is here, or None if it is none of this dialect's."""
        ...

    def seal(self, head: Head, body: bytes, form: Form) -> Sealed | Refusal:
        """The whole answer, if ``body`` is complete and worth keeping; else why not.

        No proper prefix of an answer is ever sealed. An error is only asked about if its status is
        one that may be kept.
        """
        ...

    def relay(self, offered: Form, wanted: Form) -> Relay:
        """How a follower who wants ``wanted`` can hear a flight that comes as ``offered``."""
        ...

    def sieve(self, wanted: Form) -> Sieve:
        """A fresh filter for ``Relay.FILTERED``."""
        ...

    def render(self, entry: Entry | Sealed, wanted: Form) -> Rendered | None:
        """The stored answer in the form asked for, or None if that would lose something."""
        ...


@runtime_checkable
class Divisible(Protocol):
    """What a dialect is besides, whose requests may have several inputs, each with an answer.

    The answer to a part is the reply to a request with that input alone. Pure, as ``Dialect`` is.
    """

    def parts(self, query: Query) -> tuple[Query, ...]:
        """A question for each input, in order; none if there is but one input."""
        ...

    def rest(self, query: Query) -> bytes:
        """All of a body but its inputs: what is equal in this may be asked for together."""
        ...

    def batch(self, queries: Sequence[Query]) -> bytes:
        """The body that asks for all of ``queries``, which have one input each, in this order."""
        ...

    def split(self, body: bytes, queries: Sequence[Query]) -> Sequence[bytes] | Refusal:
        """The answer to each of ``queries``, from a reply to their ``batch``; or what is amiss.

        No answer is given unless there is one for each.
        """
        ...

    def join(self, bodies: Sequence[bytes]) -> bytes | None:
        """One reply made of the answers to all parts, in this order.

        They have been sealed, or come from ``split``. None where they do not go together.
        """
        ...


@runtime_checkable
class Framed(Protocol):
    """What a dialect is besides, some of whose answers do not say themselves where they end."""

    def framed(self, form: Form) -> bool:
        """Whether an answer in ``form`` is whole only if HTTP says where it ends."""
        ...


@runtime_checkable
class Versioned(Protocol):
    """What a dialect is besides, whose queries hold the version of what is asked about."""

    def current(self, query: Query) -> bool:
        """Whether ``query`` would still be the same if it were read now."""
        ...


def divides(dialect: Dialect) -> TypeGuard[Divisible]:
    """Whether ``dialect`` is ``Divisible``, too."""
    return _divides(type(dialect))


def is_framed(dialect: Dialect, form: Form | None) -> bool:
    """Whether an answer in ``form`` is whole only if HTTP says where it ends."""
    return form is not None and _tells_framing(dialect) and dialect.framed(form)


def is_current(dialect: Dialect, query: Query) -> bool:
    """Whether ``query`` would still be the same if it were read now."""
    return not _tells_version(dialect) or dialect.current(query)


def _tells_framing(dialect: Dialect) -> TypeGuard[Framed]:
    return _frames(type(dialect))


def _tells_version(dialect: Dialect) -> TypeGuard[Versioned]:
    return _has_versions(type(dialect))


# To ask an object whether it has all that a protocol names takes 25 us each time.
@lru_cache(maxsize=64)
def _divides(kind: type[object]) -> bool:
    return issubclass(kind, Divisible)


@lru_cache(maxsize=64)
def _frames(kind: type[object]) -> bool:
    return issubclass(kind, Framed)


@lru_cache(maxsize=64)
def _has_versions(kind: type[object]) -> bool:
    return issubclass(kind, Versioned)


class Rendered:
    """A body in the form asked for."""

    __slots__ = ("body", "content_type")

    def __init__(self, body: bytes, content_type: str = "") -> None:
        self.body = body
        self.content_type = content_type  # "": as stored
