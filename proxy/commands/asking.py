"""A running proxy, asked by its operator: the admin API, for commands.

Commands wait for one answer at a time, so this is the standard library's client. A proxy between
here and there would see the token, so none is used whatever the environment says; nor is a
redirect followed, as the token would go with it.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import (
    HTTPRedirectHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)

import click

from proxy.commands.refused import Refused

_URL: Final = "http://127.0.0.1:8081"
_WAIT_S: Final = 30.0
_MOST_BYTES: Final = 64 * 2**20  # of an answer in JSON
_MOST_LINE: Final = 2**20  # bytes of an event's line
_JSON: Final = "application/json"
_TOLD: Final = {
    401: "it wants its admin.token: give it by SIDECACHE_ADMIN_TOKEN, or --admin-token-file",
    404: "it knows nothing of this: is that its admin.listen? Or it may be of an older release, or"
    " have it switched off",
}
_WRONG_TOKEN: Final = "it wants another admin.token than the one it was given"  # noqa: S105 - no token

Json = dict[str, object]


class Unreachable(Refused):
    """Nobody answers, or no more."""


class Answered(Refused):
    """An answer with an error's status.

    Args:
        status: of the answer.
    """

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Nothing: the redirect is the answer."""


class Event(NamedTuple):
    """One event of a stream."""

    kind: str
    said: Json


class Operator:
    """Asks the admin API. What cannot be answered raises Refused, in a sentence.

    Args:
        url: where it is, http or https.
        token: what it wants to see; None: nothing.
        wait_s: seconds without a byte after which an answer is given up.
    """

    def __init__(self, url: str, token: str | None = None, *, wait_s: float = _WAIT_S) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._wait_s = wait_s
        self._opener: OpenerDirector = build_opener(ProxyHandler({}), _NoRedirects)

    def waiting(self, wait_s: float) -> Operator:
        """The same, with more patience."""
        return Operator(self.url, self._token, wait_s=wait_s)

    def get(self, path: str, **query: object) -> Json:
        """What a GET brings; a query that is None is not sent."""
        return self._json("GET", with_query(path, query), None)

    def post(self, path: str, said: Mapping[str, object]) -> Json:
        """What a POST brings."""
        return self._json("POST", path, json.dumps(said).encode())

    def send(self, path: str, pieces: Iterable[bytes], media_type: str, **query: object) -> Json:
        """What a POST of ``pieces`` brings."""
        return self._json("POST", with_query(path, query), pieces, media_type)

    def events(self, path: str, **query: object) -> Iterator[Event]:
        """The events of a stream as they come, until it ends. Raises Unreachable if it breaks."""
        with self.opened("GET", with_query(path, query)) as response:
            kind, data = "message", ""
            while line := self._line(response):
                name, _, value = line.rstrip("\r\n").partition(":")
                value = value.removeprefix(" ")
                if name == "event":
                    kind = value
                elif name == "data":
                    data += value if not data else f"\n{value}"
                elif not name and not value:  # WHATWG HTML, section 9.2.6: a blank line ends one
                    if data:
                        yield Event(kind, self._object(data))
                    kind, data = "message", ""

    def _line(self, response: http.client.HTTPResponse) -> str:
        line = self.read(lambda: response.readline(_MOST_LINE))
        if len(line) >= _MOST_LINE:
            raise Unreachable(f"{self.url} sends an event that is too long")
        return line.decode(errors="replace")

    def read(self, reading: Callable[[], bytes]) -> bytes:
        """What ``reading`` brings of a response. Raises Unreachable."""
        try:
            return reading()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unreachable(f"{self.url} broke off: {_reason(error)}") from error

    def _json(
        self, method: str, path: str, sent: bytes | Iterable[bytes] | None, media_type: str = _JSON
    ) -> Json:
        with self.opened(method, path, sent, media_type) as response:
            body = self.read(lambda: response.read(_MOST_BYTES))
        return self._object(body)

    def _object(self, text: str | bytes) -> Json:
        try:
            told = json.loads(text)
        except ValueError as error:
            raise Refused(f"{self.url} is no admin listener of sidecache") from error
        return told if isinstance(told, dict) else {"items": told}

    @contextmanager
    def opened(
        self,
        method: str,
        path: str,
        sent: bytes | Iterable[bytes] | None = None,
        media_type: str = _JSON,
    ) -> Iterator[http.client.HTTPResponse]:
        """The response, to be read as it comes by ``read``."""
        headers = {} if sent is None else {"Content-Type": media_type}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        request = Request(self.url + path, sent, headers, method=method)  # noqa: S310 - as checked
        with self._begun(request) as response:
            yield response

    def _told(self, error: HTTPError) -> str:
        """What is wrong: in its own words where it has more to say than that something is."""
        said = _why(error)
        match error.code:
            case 401 if self._token is not None:
                return _WRONG_TOKEN
            case 404 if said not in {"not found", str(error.reason)}:
                return said
            case code:
                return _TOLD.get(code, said)

    def _begun(self, request: Request) -> http.client.HTTPResponse:
        try:
            response = self._opener.open(request, timeout=self._wait_s)
        except HTTPError as error:
            with error:
                told = self._told(error)
            raise Answered(f"{self.url} says {error.code}: {told}", error.code) from error
        except (URLError, OSError, http.client.HTTPException) as error:
            raise Unreachable(
                f"nobody answers at {self.url} ({_reason(error)}): is the proxy running, and is"
                " that its admin.listen? Name another with --admin-url"
            ) from error
        assert isinstance(response, http.client.HTTPResponse)  # noqa: S101 - http and https alone
        return response


def with_query(path: str, query: Mapping[str, object]) -> str:
    """``path`` with all of ``query`` that is not None."""
    asked = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(asked)}" if asked else path


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return str(getattr(reason, "strerror", None) or reason) or type(reason).__name__


def _why(error: HTTPError) -> str:
    try:
        return str(json.loads(error.read(_MOST_LINE))["error"])
    except (ValueError, KeyError, TypeError, OSError, http.client.HTTPException):
        return str(error.reason)


def _operator(url: str, token: str | None, token_file: Path | None) -> Operator:
    if not url.startswith(("http://", "https://")):
        raise Refused(f"--admin-url {url}: give a URL, as {_URL}")
    if token_file is not None:
        try:
            token = token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"--admin-token-file {token_file}: it cannot be read") from error
    if token is not None and not (token.isascii() and token.isprintable()):
        raise Refused("the admin token has characters that cannot be sent")
    return Operator(url, token or None)


def asks_operator(command: Callable[..., None]) -> Callable[..., None]:
    """Give ``command`` the options that say where the proxy is; it takes an ``operator``."""

    def wrapped(
        admin_url: str, admin_token: str | None, admin_token_file: Path | None, **rest: object
    ) -> None:
        command(operator=_operator(admin_url, admin_token, admin_token_file), **rest)

    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    if hasattr(command, "__click_params__"):
        wrapped.__click_params__ = command.__click_params__  # type: ignore[attr-defined] # as click
    for option in (
        click.option(
            "--admin-token-file",
            type=click.Path(path_type=Path),
            envvar="SIDECACHE_ADMIN_TOKEN_FILE",
            help="A file with its token.",
        ),
        # No flag: what stands on a command line, all users of the machine can read.
        click.option("--admin-token", envvar="SIDECACHE_ADMIN_TOKEN", hidden=True),
        click.option(
            "--admin-url",
            metavar="URL",
            envvar="SIDECACHE_ADMIN_URL",
            default=_URL,
            show_default=True,
            help="The proxy's admin listener (its token: SIDECACHE_ADMIN_TOKEN).",
        ),
    ):
        wrapped = option(wrapped)
    return wrapped
