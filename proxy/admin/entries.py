"""``GET /entries``: what is stored, and of one entry all there is to tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Final, Protocol

from pydantic import Field

from proxy.admin.endpoint import (
    Call,
    Endpoint,
    Nothing,
    Problem,
    Refused,
    Said,
    Shown,
    Told,
    endpoint,
)
from proxy.admin.rows import Row, Rows, State
from proxy.explaining.sentences import tellable
from proxy.model.entry import Entry
from proxy.resources.shelf import NOTE
from proxy.semantic.notes import DIALECT as ALIAS
from proxy.tiers.browsing import Browsing, Seen

_MOST: Final = 200
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_SHOWN_BYTES: Final = 64 * 2**10  # of a body
_NOTES: Final = frozenset({NOTE, ALIAS})  # entries of the cache's own, which answer nobody

Word = Annotated[str, Field(min_length=1, max_length=2048)]


class Wanted(Said):
    """Which entries."""

    tier: Word | None = Field(default=None, description="Only those in this tier.")
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{1,64}$")] | None = Field(
        default=None, description="What their keys begin with."
    )
    tag: Word | None = Field(default=None, description="One of their tags.")
    model: Word | None = None
    dialect: Word | None = None
    scope: Word | None = None
    path: Word | None = Field(default=None, description="What their paths begin with.")
    state: State | None = None
    limit: int = Field(
        default=50, ge=1, le=_MOST, description="About so many; of Redis a few more may come."
    )
    after: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,32}:[0-9a-f.]{0,64}$")] | None = Field(
        default=None, description="The `next` of the answer before."
    )

    def fits(self, state: Callable[[Entry], State]) -> Callable[[Entry], bool]:
        """Whether an entry is wanted."""

        def fits(entry: Entry) -> bool:
            return (
                (self.dialect == entry.dialect if self.dialect else entry.dialect not in _NOTES)
                and (self.model is None or self.model == entry.model)
                and (self.scope is None or self.scope == entry.key.scope)
                and (self.path is None or entry.path.startswith(self.path))
                and (self.tag is None or self.tag in entry.tags)
                and (self.state is None or self.state is state(entry))
            )

        return fits


class Entries(Shown):
    """Some entries. One that is in several tiers is told once for each."""

    entries: list[Row]
    next: str | None = Field(description="Where to go on, as `after`; null: there are no more.")
    looked_at: int = Field(description="Entries that were looked at for this answer.")
    complete: bool = Field(description="Whether nothing that is wanted comes after these.")
    untold: list[str] = Field(description="Tiers that could not be asked, or are not trusted now.")


class Life(Shown):
    """For how long it may be used, in seconds of its age."""

    ttl_s: float
    stale_while_revalidate_s: float
    stale_if_error_s: float


class FormTold(Shown):
    """What the body is."""

    stream: bool
    usage: bool = Field(description="Whether token counts are in it.")


class Content(Shown):
    """What was asked and answered."""

    shown: bool = Field(description="Whether `admin.show_content` is set.")
    question: str | None
    body: str | None
    truncated: bool = Field(description="Whether there is more of the body.")


class EntryTold(Shown):
    """All there is to tell of one entry; where several tiers differ, of the nearest."""

    key: str
    found: list[Row]
    headers: list[tuple[str, str]]
    lifetime: Life
    form: FormTold
    content: Content


class Source(Protocol):
    """Where entries are looked for. Both raise Refused."""

    async def list(self, wanted: Wanted) -> Entries:
        """Those that are wanted."""
        ...

    async def one(self, key: str) -> EntryTold:
        """That under a key: 64 hexadecimal digits. Refused with 404: there is none."""
        ...


class Shelves:
    """Answers both."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Both."""
        return (
            endpoint(
                "GET", "/entries", self._list, query=Wanted, body=Nothing,
                summary="What is stored", answers={200: Entries},
            ),
            endpoint(
                "GET", "/entries/{key}", self._one, query=Nothing, body=Nothing,
                summary="All there is to tell of one entry",
                answers={200: EntryTold, 404: Problem},
                named={"key": {"type": "string", "pattern": "^[0-9a-f]{64}$"}},
            ),
        )  # fmt: skip

    async def _list(self, asked: Call[Wanted, Nothing]) -> Told:
        return Told(await self._source.list(asked.query))

    async def _one(self, asked: Call[Nothing, Nothing]) -> Told:
        key = asked.path["key"]
        if not _DIGEST.fullmatch(key):
            raise Refused(400, "a key is 64 hexadecimal digits in lower case")
        return Told(await self._source.one(key))


class Own:
    """The tiers of this process, as a ``Source``.

    Args:
        browsing: looks into them.
        rows: tells of entries.
    """

    def __init__(self, browsing: Browsing, rows: Rows) -> None:
        self._browsing = browsing
        self._rows = rows

    async def list(self, wanted: Wanted) -> Entries:
        try:
            listing = await self._browsing.list(
                wanted.after or "", wanted.key or "", wanted.fits(self._rows.state), wanted.limit,
                wanted.tier,
            )  # fmt: skip
        except ValueError as error:
            raise Refused(400, f"after or tier: {error}") from error
        return Entries(
            entries=[self._rows.row(tier, seen) for tier, seen in listing.seen],
            next=listing.after,
            looked_at=listing.looked_at,
            complete=listing.after is None and not listing.untold,
            untold=[*listing.untold],
        )

    async def one(self, key: str) -> EntryTold:
        looks = await self._browsing.look(bytes.fromhex(key))
        found = [(look.tier, look.seen) for look in looks if look.seen is not None]
        if not found:
            silent = [look.tier for look in looks if look.trouble]
            doubt = f"; {', '.join(silent)} could not be asked" if silent else ""
            raise Refused(404, f"nothing is stored under this key, or it was purged{doubt}")
        return self._told(key, found)

    def _told(self, key: str, found: Sequence[tuple[str, Seen]]) -> EntryTold:
        entry = found[0][1].entry
        life, form, shown = entry.lifetime, entry.form, self._rows.show_content
        body = entry.body[:_SHOWN_BYTES].decode("utf-8", "replace") if shown else None
        return EntryTold(
            key=key,
            found=[self._rows.row(tier, seen) for tier, seen in found],
            headers=[(tellable(name), tellable(value)) for name, value in entry.head.headers],
            lifetime=Life(
                ttl_s=life.ttl,
                stale_while_revalidate_s=life.stale_while_revalidate,
                stale_if_error_s=life.stale_if_error,
            ),
            form=FormTold(stream=form.stream, usage=form.usage),
            content=Content(
                shown=shown,
                question=self._rows.question(entry),
                body=body,
                truncated=shown and len(entry.body) > _SHOWN_BYTES,
            ),
        )
