"""Meeting other replicas: what a flight says before it asks, and what it may be told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from proxy.model.decision import Why
from proxy.model.entry import CacheKey
from proxy.model.message import Arrival, Head
from proxy.model.query import Form


class Sought(NamedTuple):
    """What a flight is about to ask for."""

    key: CacheKey
    form: Form  # the form asked for: who asks in another hears other bytes
    generation: int  # the newest purge when it was asked for; see ``proxy.ledger``
    fresh: bool  # only an answer that has not begun to come will do (``no-cache``)


class Begun(NamedTuple):
    """A shared answer is coming; its head is without what was meant for the first alone."""

    head: Head
    length: int | None  # bytes declared
    asked_s: float  # seconds since it was asked for


@dataclass(frozen=True, slots=True)
class Alone:
    """Ask; nobody else is told."""


@dataclass(frozen=True, slots=True)
class Leading:
    """Ask; other replicas hear it. ``over`` is to be called once, when the flight is over.

    It is told whether the answer was stored, and neither waits nor raises.
    """

    over: Callable[[bool], None]


@dataclass(frozen=True, slots=True)
class Joined:
    """Another replica has asked: its answer, as it comes."""

    arrival: Arrival
    asked_s: float  # seconds since it was asked for


@dataclass(frozen=True, slots=True)
class Stored:
    """Another replica had asked, and stored the answer."""


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Another replica has asked, and the answer is for whoever asked there alone."""

    why: Why


Meeting = Alone | Leading | Joined | Stored | GivenUp


class Guest(Protocol):
    """A place on a flight for one other replica. ``leave`` must be called at the end."""

    async def begun(self) -> Begun | Stored | GivenUp:
        """Wait until it is known what comes; may be cancelled and called again.

        Raises:
            UpstreamError: the call failed before its head came.
        """
        ...

    async def more(self) -> bytes | None:
        """The next piece, or None at the end; may be cancelled and called again.

        Raises:
            UpstreamError: the body broke off, or this reader fell too far behind.
        """
        ...

    def leave(self) -> None:
        """Give the place up. Idempotent."""
        ...


Admit = Callable[[bool], Guest | None]
"""A place on a flight, or None if it has none to give; True asks for one that has not begun."""


class Fleet(Protocol):
    """The other replicas, as flights see them."""

    async def meet(self, sought: Sought, admit: Admit) -> Meeting:
        """Find out whether another replica is asking, and let others find out that this one is.

        What goes wrong on the way is no error: the flight is then alone.

        Args:
            sought: what is about to be asked for.
            admit: gives other replicas places on the flight, should it lead.

        Raises:
            UpstreamError: another replica asked, and its call failed before its head came.
        """
        ...
