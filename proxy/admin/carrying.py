"""``GET /export`` and ``POST /import``: entries carried from one proxy to another, as parcels."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Final, NamedTuple

from aiohttp import web
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
    cut,
    endpoint,
)
from proxy.carrying.parcel import MEDIA_TYPE, Heading, Unpacking, Unreadable
from proxy.carrying.taking import NotOurs, Taking
from proxy.model.errors import TierError

_SILENT_S: Final = 30.0  # for which nothing of a parcel may come
_STALLED_S: Final = 30.0  # that a client may take nothing of what it is sent
_FORBIDDEN: Final = 403


class Allowed(NamedTuple):
    """What the settings in force allow."""

    to_export: bool
    to_import: bool


class Wanted(Said):
    """What is to be exported."""

    tier: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="One tier, as l2_disk; without it, all of them."
    )


class Brought(Said):
    """How it is to be imported."""

    vouched: bool = Field(
        default=False,
        description="That nothing in it was purged since it was made; asked for where the purges of"
        " whoever made it are not known.",
    )


class Imported(Shown):
    """What became of the entries."""

    taken: int
    older: int = Field(description="There was one as new, or newer.")
    purged: int = Field(description="A purge covers them, or may do so.")
    expired: int
    declined: int = Field(description="No tier took them: they are too large, mostly.")
    unreadable: int = Field(
        description="Damaged, of another release, or encrypted with a key not known here."
    )


class Carrying:
    """Answers both.

    Args:
        allowed: what is allowed at present.
        tiers: the names of all tiers.
        give: the parcel of the tiers so named; raises TierError on the way.
        take: whoever takes in a parcel with this heading, vouched for or not; raises NotOurs.
    """

    def __init__(
        self,
        allowed: Callable[[], Allowed],
        tiers: tuple[str, ...],
        give: Callable[[tuple[str, ...]], AsyncIterator[bytes]],
        take: Callable[[Heading, bool], Taking],
        *,
        stalled_s: float = _STALLED_S,
    ) -> None:
        self._stalled_s = stalled_s
        self._allowed = allowed
        self._tiers = tiers
        self._give = give
        self._take = take
        self._one_by_one = asyncio.Lock()

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Both."""
        return (
            endpoint(
                "GET",
                "/export",
                self._export,
                query=Wanted,
                body=Nothing,
                summary="All entries, to be imported elsewhere (admin.allow_export)",
                answers={200: MEDIA_TYPE, 403: Problem, 404: Problem, 503: Problem},
            ),
            endpoint(
                "POST",
                "/import",
                self._import,
                query=Brought,
                body=Nothing,
                summary="Take in entries that were exported (admin.allow_import)",
                answers={200: Imported, 403: Problem, 409: Problem},
                takes=MEDIA_TYPE,
            ),
        )

    async def _export(self, asked: Call[Wanted, Nothing]) -> web.StreamResponse:
        if not self._allowed().to_export:
            raise Refused(_FORBIDDEN, "admin.allow_export is not set")
        wanted = asked.query.tier
        if wanted is not None and wanted not in self._tiers:
            raise Refused(404, f"there is no such tier; there are: {', '.join(self._tiers)}")
        pieces = self._give(self._tiers if wanted is None else (wanted,))
        try:
            first = await anext(pieces)
        except TierError as error:
            raise Refused(503, f"{error}; others can be asked for by ?tier=") from error
        response = web.StreamResponse(headers={"Content-Type": MEDIA_TYPE})
        await response.prepare(asked.request)
        try:
            await self._write(response, first)
            async for piece in pieces:
                await self._write(response, piece)
        except TierError:
            # What was sent has no end of its own: whoever reads it knows that it is not whole.
            response.force_close()
        except (ConnectionError, TimeoutError):
            cut(asked.request)
        return response

    async def _write(self, response: web.StreamResponse, piece: bytes) -> None:
        async with asyncio.timeout(self._stalled_s):
            await response.write(piece)

    async def _import(self, asked: Call[Brought, Nothing]) -> Told:
        if not self._allowed().to_import:
            raise Refused(_FORBIDDEN, "admin.allow_import is not set")
        async with self._one_by_one:
            taking = await self._taken_in(asked.request, vouched=asked.query.vouched)
        return Told(Imported.model_validate(taking.counts.told()))

    async def _taken_in(self, request: web.Request, *, vouched: bool) -> Taking:
        """Raises Refused."""
        unpacking = Unpacking()
        taking: Taking | None = None
        try:
            while piece := await self._next(request):
                envelopes = unpacking.feed(piece)
                if taking is None and unpacking.heading is not None:
                    taking = self._take(unpacking.heading, vouched)
                if taking is not None:
                    await taking.take(envelopes)
            unpacking.end()
        except NotOurs as error:
            raise Refused(409, str(error)) from error
        except Unreadable as error:
            count = 0 if taking is None else taking.counts.taken
            raise Refused(400, f"{error}; entries taken in before that: {count}") from error
        if taking is None:
            raise Refused(400, "nothing was sent")
        return taking

    async def _next(self, request: web.Request) -> bytes:
        """The next piece; b"" at the end. Raises Refused."""
        try:
            async with asyncio.timeout(_SILENT_S):
                return await request.content.readany()
        except TimeoutError as error:
            raise Refused(400, "nothing more has come") from error
