"""``POST /purge``: what is to be served no more."""

from __future__ import annotations

import re
from collections.abc import Awaitable
from typing import Annotated, Final, Protocol, Self

from pydantic import Field, model_validator

from proxy.admin.endpoint import Call, Endpoint, Nothing, Problem, Refused, Said, Shown, Told
from proxy.admin.endpoint import endpoint as describe
from proxy.model.errors import TierError
from proxy.model.purge import Kind, Purge
from proxy.purges.purging import Receipt

_MOST_VALUES: Final = 1000
_LONGEST: Final = 2048  # characters of a value
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")

Value = Annotated[str, Field(min_length=1, max_length=_LONGEST)]


class CarryOut(Protocol):
    """Lets purges take effect, at least one. Raises TierError."""

    def __call__(self, *purges: Purge) -> Awaitable[Receipt]: ...


class Wanted(Said):
    """What is to be purged."""

    kind: Kind = Field(description="By what; `all` has no value.")
    value: Value | None = Field(default=None, description="One value: a key, a tag, a model ...")
    values: list[Value] | None = Field(
        default=None, min_length=1, max_length=_MOST_VALUES, description="Several, in its place."
    )
    soft: bool = Field(
        default=False, strict=True, description="Let entries turn stale rather than go."
    )

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        given = (self.value is not None) + (self.values is not None)
        if self.kind is Kind.ALL:
            if given:
                raise ValueError("a purge of all has no value")
        elif given != 1:
            raise ValueError(f"a purge by {self.kind} needs either value or values")
        for value in self.values or [self.value or ""]:
            if self.kind is Kind.KEY and not _DIGEST.fullmatch(value):
                raise ValueError("a key is 64 hexadecimal digits in lower case")
            if self.kind is Kind.PATH and not value.startswith("/"):
                raise ValueError("a path begins with a slash")
        return self

    @property
    def purges(self) -> list[Purge]:
        """Each by itself."""
        return [Purge(self.kind, value, self.soft) for value in self.values or [self.value or ""]]


class Absent(Shown):
    """A replica that has not said that it obeys."""

    replica: str
    silent_s: float


class Purged(Shown):
    """How far it has come."""

    complete: bool = Field(description="Whether every replica obeys.")
    generation: int = Field(description="Grows with every purge.")
    absent: list[Absent] = Field(description="Those who have not said so yet.")
    trouble: str = Field(description="Why others could not be told, if so.")


class Purges:
    """Answers ``POST /purge``.

    Args:
        purge: carries out what is asked.
    """

    def __init__(self, purge: CarryOut) -> None:
        self._purge = purge

    @property
    def endpoint(self) -> Endpoint:
        """200 once every replica obeys; 202 if some have not said so, or could not be told yet."""
        return describe(
            "POST",
            "/purge",
            self._answer,
            query=Nothing,
            body=Wanted,
            summary="Let entries be served no more",
            answers={200: Purged, 202: Purged, 503: Problem},
        )

    async def _answer(self, asked: Call[Nothing, Wanted]) -> Told:
        try:
            receipt = await self._purge(*asked.body.purges)
        except TierError as error:
            raise Refused(503, str(error)) from error
        told = Purged(
            complete=receipt.complete,
            generation=receipt.number,
            absent=[
                Absent(replica=each.replica, silent_s=round(each.silent_s, 1))
                for each in receipt.absent
            ],
            trouble=receipt.trouble,
        )
        return Told(told, 200 if receipt.complete else 202)
