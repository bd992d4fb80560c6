"""Every route that the running listener has, whoever added it: who may ask, and how.

Taken from its router, not from a list of ours, so that no new route can be forgotten.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest
from aiohttp import web
from support.operated import RIGHT, operated
from support.proxied import Proxied
from support.redis_servers import needs_redis

pytestmark = needs_redis

# What is open to all: it tells nothing of the proxy but that it is there.
OPEN = ("/healthz", "/readyz")
PAGES = ("/", "/ui")  # static files, the same for everybody

WRONG = {"Authorization": "Bearer guess"}
OTHER_SITES = (
    {"Origin": "http://evil.test"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
)


class Route(NamedTuple):
    method: str
    path: str

    @property
    def is_open(self) -> bool:
        return self.path in OPEN or self.path in PAGES or self.path.startswith("/ui/")


@pytest.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[Proxied]:
    async with operated(tmp_path) as proxy:
        yield proxy


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def routes(proxy: Proxied) -> list[Route]:
    """All of the running application's."""
    assert proxy.admin._runner is not None
    found = []
    for resource in proxy.admin._runner.app.router.resources():
        path = resource.canonical
        for name in ("key", "file", "filename"):
            path = path.replace(f"{{{name}}}", "a" * 64)
        if isinstance(resource, web.StaticResource):
            path += "/some.js"
        assert "{" not in path, "say here what may stand in its place"
        found += [Route("GET" if r.method == "*" else r.method, path) for r in resource]
    return found


def guarded(proxy: Proxied) -> list[Route]:
    return [route for route in routes(proxy) if not route.is_open]


async def asked(
    http: aiohttp.ClientSession, proxy: Proxied, route: Route, headers: dict[str, str]
) -> aiohttp.ClientResponse:
    url = f"{proxy.admin_url}{route.path}"
    sent = {"json": {}} if route.method == "POST" else {}
    async with http.request(
        route.method, url, headers=headers, allow_redirects=False, **sent
    ) as reply:
        if reply.content_type == "application/json":
            await reply.read()
        return reply


async def test_the_routes_are_those_that_are_described_and_pages(
    proxy: Proxied, http: aiohttp.ClientSession
) -> None:
    async with http.get(f"{proxy.admin_url}/openapi.json", headers=RIGHT) as reply:
        document = await reply.json()
    described = {
        Route(method.upper(), path.replace("{key}", "a" * 64))
        for path, operations in document["paths"].items()
        for method in operations
    }
    there = {r for r in routes(proxy) if r.method != "HEAD" and not r.path.startswith(PAGES[1])}
    assert there - described <= {Route("GET", "/")}
    assert described <= there
    assert len(described) >= 9
    opened = {
        path
        for path, operations in document["paths"].items()
        for operation in operations.values()
        if operation["security"] == []
    }
    assert opened == set(OPEN)


async def test_without_a_token_there_is_nothing_but_health(
    proxy: Proxied, http: aiohttp.ClientSession
) -> None:
    for route in guarded(proxy):
        reply = await asked(http, proxy, route, {})
        assert reply.status == 401, route
        assert reply.headers["WWW-Authenticate"] == 'Bearer realm="sidecache"'
    for path in OPEN:
        assert (await asked(http, proxy, Route("GET", path), {})).status == 200


async def test_with_a_wrong_token_neither(proxy: Proxied) -> None:
    for at, route in enumerate(guarded(proxy)):
        # Each from an address of its own: after so many guesses nobody is listened to.
        here = aiohttp.TCPConnector(local_addr=(f"127.0.1.{at + 1}", 0))
        async with aiohttp.ClientSession(connector=here) as http:
            assert (await asked(http, proxy, route, WRONG)).status == 401, route


async def test_after_twenty_guesses_only_the_right_token_is_listened_to(
    proxy: Proxied, http: aiohttp.ClientSession
) -> None:
    some = guarded(proxy)
    told = [(await asked(http, proxy, some[at % len(some)], WRONG)).status for at in range(22)]
    assert told == [401] * 20 + [429] * 2
    for route in some:
        assert (await asked(http, proxy, route, WRONG)).status == 429, route
    assert (await asked(http, proxy, Route("GET", "/stats"), RIGHT)).status == 200
    assert (await asked(http, proxy, Route("GET", "/healthz"), {})).status == 200


async def test_what_is_not_there_and_other_methods_are_told_to_nobody_without_a_token(
    proxy: Proxied, http: aiohttp.ClientSession
) -> None:
    for route in guarded(proxy):
        for method in ("DELETE", "PUT", "OPTIONS", "TRACE"):
            status = (await asked(http, proxy, Route(method, route.path), {})).status
            assert status == 401, (method, route)
    assert (await asked(http, proxy, Route("GET", "/nonsense"), {})).status == 401


async def test_by_another_name_it_answers_nobody(
    proxy: Proxied, http: aiohttp.ClientSession
) -> None:
    for route in routes(proxy):
        reply = await asked(http, proxy, route, RIGHT | {"Host": "evil.test"})
        assert reply.status == 421, route


async def test_no_page_of_another_site_may_ask(proxy: Proxied, http: aiohttp.ClientSession) -> None:
    for route in guarded(proxy):
        for headers in OTHER_SITES:
            reply = await asked(http, proxy, route, RIGHT | headers)
            assert reply.status == 403, (route, headers)


async def test_no_form_of_a_page_is_taken_for_a_body(
    proxy: Proxied, http: aiohttp.ClientSession
) -> None:
    posts = [route for route in guarded(proxy) if route.method == "POST"]
    assert len(posts) >= 3
    for route in posts:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            url = f"{proxy.admin_url}{route.path}"
            headers = RIGHT | {"Content-Type": kind}
            async with http.post(url, headers=headers, data=b"{}") as reply:
                assert reply.status == 415, (route, kind)
