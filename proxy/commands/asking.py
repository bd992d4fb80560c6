"""A running proxy, asked by its operator: the admin API, for commands.

Commands wait for one answer at a time, so this is the standard library's client. A proxy between
here and there would see the token, so none is used whatever the environment says.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import OpenerDirector, ProxyHandler, Request, build_opener

import click

from proxy.commands.refused import Refused

_URL: Final = "http://127.0.0.1:8081"
_WAIT_S: Final = 30.0

Json = dict[str, object]


class Operator:
    """Asks the admin API.

    Args:
        url: where it is, http or https.
        token: what it wants to see; None: nothing.
        wait_s: seconds without a byte after which an answer is given up.
    """

    def __init__(self, url: str, token: str | None = None, *, wait_s: float = _WAIT_S) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._wait_s = wait_s
        self._opener: OpenerDirector = build_opener(ProxyHandler({}))

    def waiting(self, wait_s: float) -> Operator:
        """The same, with more patience."""
        return Operator(self.url, self._token, wait_s=wait_s)

    def get(self, path: str, **query: object) -> Json:
        """What a GET brings. Raises Refused, in a sentence, where it brings no answer."""
        asked = {name: value for name, value in query.items() if value is not None}
        return self._json("GET", f"{path}?{urlencode(asked)}" if asked else path, None)

    def post(self, path: str, said: Mapping[str, object]) -> Json:
        """What a POST brings. Raises Refused as ``get``."""
        return self._json("POST", path, said)

    def _json(self, method: str, path: str, said: Mapping[str, object] | None) -> Json:
        with self.opened(method, path, said) as response:
            try:
                told = json.loads(response.read())
            except ValueError as error:
                raise Refused(f"{self.url} is no admin listener of sidecache") from error
        return told if isinstance(told, dict) else {"items": told}

    @contextmanager
    def opened(
        self, method: str, path: str, said: Mapping[str, object] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """The response, to be read as it comes. Raises Refused as ``get``."""
        body = None if said is None else json.dumps(said).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        request = Request(self.url + path, body, headers, method=method)  # noqa: S310 - as checked
        try:
            with self._opener.open(request, timeout=self._wait_s) as response:
                yield response
        except HTTPError as error:
            raise Refused(f"{self.url} says {error.code}: {_why(error)}") from error
        except (URLError, OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise Refused(
                f"nobody answers at {self.url} ({reason}): is the proxy running, and is that its"
                " admin.listen? Name another with --admin-url"
            ) from error


def _why(error: HTTPError) -> str:
    try:
        return str(json.loads(error.read())["error"])
    except (ValueError, KeyError, TypeError, OSError):
        return str(error.reason)


def _operator(url: str, token: str | None, token_file: Path | None) -> Operator:
    if not url.startswith(("http://", "https://")):
        raise Refused(f"--admin-url {url}: give a URL, as {_URL}")
    if token_file is not None:
        try:
            token = token_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise Refused(f"--admin-token-file {token_file}: {error.strerror}") from error
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
