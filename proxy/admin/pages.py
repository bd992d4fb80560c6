"""The dashboard: static files, which tell nothing of this proxy, and how they are served.

They are read once and have a route each, so no path that a caller makes up is ever looked for on
the disk. All they show comes from the endpoints, which the browser asks with the operator's token.

What is shown there was said by strangers in part: model names, paths, tags, questions. The pages
write it as text; should that ever fail, the browser is told here to run no script but these files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath
from typing import Final

from aiohttp import hdrs, web

_TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_START: Final = "index.html"
# The last two: no text becomes a script or markup, whatever the pages do with it.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    # Kept by the browser, and asked about each time: a new release shows at once.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class Page:
    """One file."""

    name: str  # its path below /ui/
    media_type: str
    body: bytes

    @property
    def etag(self) -> str:
        """What its content is called, without quotes."""
        return hashlib.sha256(self.body).hexdigest()[:32]


def dashboard() -> tuple[Page, ...]:
    """All files of it, in the order of their names."""
    return tuple(sorted(_read(files("proxy.admin") / "static"), key=lambda page: page.name))


def routes() -> list[web.RouteDef]:
    """Where they are: /ui/ and below; / leads there."""
    found = [web.get("/", _lead), web.get("/ui", _lead)]
    for page in dashboard():
        serve = _Serving(page)
        found.append(web.get(f"/ui/{page.name}", serve.answer))
        if page.name == _START:
            found.append(web.get("/ui/", serve.answer))
    return found


class _Serving:
    """Answers requests for one page."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._etag = page.etag

    async def answer(self, request: web.Request) -> web.Response:
        known = {tag.value for tag in request.if_none_match or ()}
        if known & {self._etag, "*"}:
            response = web.Response(status=304, headers=_HEADERS)
        else:
            response = web.Response(
                body=self._page.body,
                content_type=self._page.media_type,
                charset="utf-8",
                headers=_HEADERS,
            )
        response.headers[hdrs.ETAG] = f'"{self._etag}"'
        return response


async def _lead(_request: web.Request) -> web.Response:
    # Relative, so that it holds behind a proxy that puts a path in front.
    return web.Response(status=302, headers={**_HEADERS, hdrs.LOCATION: "ui/"})


def _read(folder: Traversable, above: str = "") -> Iterator[Page]:
    for each in folder.iterdir():
        name = above + each.name
        if each.is_dir():
            yield from _read(each, f"{name}/")
        elif media_type := _TYPES.get(PurePosixPath(name).suffix):
            yield Page(name, media_type, each.read_bytes())
