"""The workers, as the process that answers the operator for all of them asks them.

Each listens at a socket in a folder that is closed to everybody else. Every question has a
deadline, and one that hangs delays nobody who does not need its answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from aiohttp import (
    ClientConnectionError,
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    UnixConnector,
    hdrs,
    web,
)

from proxy.admin.endpoint import MOST_BYTES, Endpoint, Refused

_CONNECT_S: Final = 2.0  # to a socket on this machine, whose owner may be busy
_STALLED_S: Final = 30.0  # that a client may take nothing of what it is sent
_MOST_BYTES: Final = 64 * 2**20  # of an answer that is put together with others
_OK: Final = 200
_GONE: Final = "the worker that was asked is gone, or does not answer: try again"
_NOBODY: Final = "no worker serves for now: try again in a moment"
_PASSED: Final = (hdrs.CONTENT_TYPE, hdrs.ACCEPT)
_PASSED_BACK: Final = (hdrs.CONTENT_TYPE, hdrs.CACHE_CONTROL, hdrs.CONTENT_DISPOSITION)


class Colleague(NamedTuple):
    """A worker, and where it listens."""

    slot: int
    pid: int
    path: Path


class Answer(NamedTuple):
    """What one of them answered."""

    slot: int
    status: int
    body: bytes
    content_type: str


class Silent(Exception):
    """It did not answer."""


async def fetch(path: Path, what: str, limit_s: float) -> bytes:
    """What the one who listens at ``path`` answers to a GET of ``what``. Raises Silent."""
    answer = await _asked(Colleague(0, 0, path), hdrs.METH_GET, what, limit_s)
    if answer.status != _OK:
        raise Silent
    return answer.body


class Colleagues:
    """Asks them.

    Args:
        present: those that serve, who should be asked first of one first.
    """

    def __init__(self, present: Callable[[], Sequence[Colleague]]) -> None:
        self.present = present

    def forwarded(self, endpoint: Endpoint, *, limit_s: float, again: bool = False) -> Endpoint:
        """``endpoint``, answered by one of them; by another where that one cannot be reached.

        Args:
            limit_s: for which it may say nothing.
            again: whether it does no harm to ask another what one may have heard already.
        """

        async def ask(request: web.Request) -> web.StreamResponse:
            # A body that is read is there to be sent again; one that is not JSON may be long.
            body = None if endpoint.takes else await _sent(request)
            for one in self.present():
                try:
                    return await _pass_on(request, one, body, limit_s)
                except _Unheard:
                    continue
                except Silent as error:
                    if not again:
                        raise Refused(503, _GONE) from error
            raise Refused(503, _NOBODY)

        return replace(endpoint, ask=ask)

    async def one(
        self, slot: int, path: str, limit_s: float, query: Mapping[str, str] | None = None
    ) -> Answer:
        """What the one in ``slot`` answers to a GET. Raises Silent."""
        for each in self.present():
            if each.slot == slot:
                return await _asked(each, hdrs.METH_GET, path, limit_s, query=query)
        raise Silent

    async def all(
        self, method: str, path: str, limit_s: float, *, body: bytes = b""
    ) -> Sequence[Answer]:
        """What each of them answers that does, in the order of their slots."""
        asked = sorted(self.present())
        answers = await asyncio.gather(
            *(_asked(each, method, path, limit_s, body=body) for each in asked),
            return_exceptions=True,
        )
        for each in answers:
            if isinstance(each, BaseException) and not isinstance(each, Silent):
                raise each
        return [each for each in answers if isinstance(each, Answer)]

    @asynccontextmanager
    async def heard(
        self, one: Colleague, path: str, silent_s: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """A stream of one of them. Raises Silent."""
        try:
            async with (
                _session(one, silent_s) as session,
                session.get(_url(path)) as answer,
            ):
                if answer.status != _OK:
                    raise Silent
                yield answer.content.iter_any()
        except (ClientError, TimeoutError) as error:
            raise Silent from error


class _Unheard(Exception):
    """It never heard of it."""


def _session(one: Colleague, silent_s: float) -> ClientSession:
    timeout = ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=silent_s)
    return ClientSession(connector=UnixConnector(str(one.path)), timeout=timeout)


def _url(path: str) -> str:
    return f"http://localhost{path}"


async def _asked(
    one: Colleague,
    method: str,
    path: str,
    limit_s: float,
    *,
    query: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> Answer:
    """Raises Silent."""
    headers = {hdrs.CONTENT_TYPE: "application/json"} if body else {}
    try:
        async with (
            asyncio.timeout(limit_s),
            _session(one, limit_s) as session,
            session.request(
                method, _url(path), params=query, data=body or None, headers=headers
            ) as answer,
        ):
            return Answer(one.slot, answer.status, await _whole(answer), answer.content_type)
    except (ClientError, TimeoutError) as error:
        raise Silent from error


async def _whole(answer: ClientResponse) -> bytes:
    pieces, size = [], 0
    async for piece in answer.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > _MOST_BYTES:
            raise ClientConnectionError
    return b"".join(pieces)


async def _sent(request: web.Request) -> bytes:
    """What is sent along. Raises Refused."""
    try:
        async with asyncio.timeout(_STALLED_S):
            return await request.read()
    except TimeoutError as error:
        raise Refused(400, f"the body has not come within {_STALLED_S:g} s") from error
    except web.HTTPRequestEntityTooLarge as error:
        raise Refused(413, f"the body is longer than {MOST_BYTES} bytes") from error


async def _pass_on(
    request: web.Request, one: Colleague, body: bytes | None, limit_s: float
) -> web.StreamResponse:
    """Raises _Unheard, or Silent if it may have heard."""
    headers = {name: request.headers[name] for name in _PASSED if name in request.headers}
    sent = _pieces(request) if body is None else body or None
    session = _session(one, limit_s)
    async with session:
        try:
            answer = await session.request(
                request.method, _url(str(request.rel_url)), headers=headers, data=sent
            )
        except ClientConnectorError as error:
            raise _Unheard from error
        except (ClientError, TimeoutError) as error:
            raise Silent from error
        async with answer:
            return await _pass_back(request, answer)


async def _pass_back(request: web.Request, answer: ClientResponse) -> web.StreamResponse:
    back = {name: answer.headers[name] for name in _PASSED_BACK if name in answer.headers}
    response = web.StreamResponse(status=answer.status, headers=back)
    await response.prepare(request)
    try:
        async for piece in answer.content.iter_any():
            async with asyncio.timeout(_STALLED_S):
                await response.write(piece)
    except (ClientError, TimeoutError, ConnectionError):
        # It has begun: whoever reads it must see that it is not whole.
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response


async def _pieces(request: web.Request) -> AsyncIterator[bytes]:
    async for piece in request.content.iter_any():
        yield piece
