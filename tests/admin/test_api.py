from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from proxy.admin.api import Admin
from proxy.admin.endpoint import Call, Nothing, Problem, Shown, Told, endpoint, plain
from proxy.admin.gate import Gate
from proxy.model.errors import ConfigError

TOKEN = "a-token-nobody-guesses"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
Ask = Callable[..., Coroutine[Any, Any, tuple[int, Any, Any]]]


class Works(Shown):
    it: str = "works"


async def secrets(_asked: Call[Nothing, Nothing]) -> Told:
    return Told(Works())


async def broken(_asked: Call[Nothing, Nothing]) -> Told:
    raise ValueError("confidential")


async def stop(_asked: Call[Nothing, Nothing]) -> Told:
    raise web.HTTPConflict


ENDPOINTS = (
    plain("/secrets", secrets, "What is secret", {200: Works}),
    plain("/of/{anything}", secrets, "The same", {200: Works}),
    plain("/broken", broken, "Fail otherwise", {200: Works}),
    plain("/{one}", secrets, "The same", {200: Works}),
    endpoint(
        "POST", "/stop", stop, query=Nothing, body=Nothing, summary="Fail", answers={409: Problem}
    ),
)


def gate(token: str | None = None, allowed_hosts: Sequence[str] = ()) -> Gate:
    return Gate(token, allowed_hosts, clock=lambda: 0.0)


def guarded(token: str | None = TOKEN, allowed_hosts: Sequence[str] = ()) -> Admin:
    return Admin(always, gate(token, allowed_hosts), endpoints=ENDPOINTS)


@asynccontextmanager
async def serving(admin: Admin, host: str = "127.0.0.1") -> AsyncIterator[Ask]:
    _host, port = await admin.start(host, 0)
    try:
        async with aiohttp.ClientSession() as session:

            async def ask(path: str, method: str = "GET", **headers: str) -> tuple[int, Any, Any]:
                named = {name.replace("_", "-"): value for name, value in headers.items()}
                url = URL(f"http://127.0.0.1:{port}{path}", encoded=True)
                async with session.request(method, url, headers=named) as answer:
                    body = await answer.json() if method != "HEAD" else await answer.read()
                    return answer.status, body, answer.headers

            yield ask
    finally:
        await admin.close()


def never() -> bool:
    return False


def always() -> bool:
    return True


async def test_it_is_well_while_it_can_answer() -> None:
    async with serving(Admin(never, gate())) as ask:
        assert (await ask("/healthz"))[:2] == (200, {"status": "ok"})


async def test_it_is_ready_when_the_proxy_says_so() -> None:
    ready = False
    async with serving(Admin(lambda: ready, gate())) as ask:
        assert (await ask("/readyz"))[:2] == (503, {"status": "not ready"})
        ready = True
        assert (await ask("/readyz"))[:2] == (200, {"status": "ready"})


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_may_ask_for_the_head_alone(path: str) -> None:
    async with serving(Admin(always, gate())) as ask:
        status, body, headers = await ask(path, "HEAD")
        assert (status, body) == (200, b"")
        assert headers["Content-Type"] == "application/json"


async def test_what_is_not_there_is_told_in_json() -> None:
    async with serving(Admin(always, gate())) as ask:
        status, body, headers = await ask("/nonsense")
        assert (status, body) == (404, {"error": "not found"})
        assert headers["Content-Type"].startswith("application/json")


async def test_a_method_that_is_not_there_is_told_with_those_that_are() -> None:
    async with serving(Admin(always, gate())) as ask:
        status, body, headers = await ask("/healthz", "POST")
        assert (status, body) == (405, {"error": "method not allowed"})
        assert headers["Allow"] == "GET,HEAD"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/secrets", "/nonsense/of/this"])
async def test_no_answer_is_kept_or_guessed_at_by_a_browser(path: str) -> None:
    async with serving(guarded()) as ask:
        headers = (await ask(path))[2]
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Server"] == "sidecache"


async def test_every_route_but_health_needs_the_token() -> None:
    admin = guarded()
    async with serving(admin) as ask:
        for path in ("/healthz", "/readyz"):
            assert (await ask(path))[0] == 200
        for path in ("/secrets", "/of/healthz", "/%2Fhealthz", "/healthz/", "/one", "/x/y/z"):
            status, _body, headers = await ask(path)
            assert status == 401
            assert headers["WWW-Authenticate"].startswith("Bearer")
        assert (await ask("/secrets", **BEARER))[:2] == (200, {"it": "works"})
        assert (await ask("/x/y/z", **BEARER))[0] == 404


@pytest.mark.parametrize(
    "given",
    ["", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN,
     "Bearer \udcff"],
)  # fmt: skip
async def test_only_the_whole_token_will_do(given: str) -> None:
    async with serving(guarded()) as ask:
        status, body, _headers = await ask("/secrets", Authorization=given)
        assert status == 401
        assert TOKEN not in str(body)


async def test_without_a_token_all_may_ask() -> None:
    async with serving(guarded(None)) as ask:
        assert (await ask("/secrets"))[0] == 200


async def test_a_head_that_is_too_long_is_told_in_json_and_not_quoted() -> None:
    async with serving(guarded(None)) as ask:
        status, body, _headers = await ask(f"/secrets?{'x' * 9000}")
    assert (status, body) == (400, {"error": "bad request"})


async def test_a_bug_is_told_without_what_it_says(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(guarded(None)) as ask:
        answer = await ask("/broken")
    assert answer[:2] == (500, {"error": "this proxy has failed; its log says where"})
    assert [record.message for record in caplog.records] == ["the operator could not be answered"]


async def test_an_error_of_a_route_is_told_in_json() -> None:
    async with serving(guarded(None)) as ask:
        assert (await ask("/stop", "POST"))[:2] == (409, {"error": "conflict"})


@pytest.mark.parametrize("host", ["evil.test", "evil.test:8081", "localhost.evil.test", "10.9.9.9"])
async def test_a_page_that_calls_it_by_another_name_is_refused(host: str) -> None:
    async with serving(guarded()) as ask:
        assert (await ask("/secrets", Host=host, **BEARER))[0] == 421


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:9", "127.1.2.3", "[::1]:8081", "proxy.test."]
)
async def test_it_answers_to_its_own_names(host: str) -> None:
    async with serving(guarded(None, allowed_hosts=["Proxy.test"])) as ask:
        assert (await ask("/secrets", Host=host))[0] == 200


async def test_it_answers_to_the_name_it_listens_at() -> None:
    async with serving(guarded(None), host="localhost") as ask:
        assert (await ask("/secrets"))[0] == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_may_call_it_by_any_address_but_no_name(path: str) -> None:
    async with serving(Admin(always, gate())) as ask:
        assert (await ask(path, Host="10.9.9.9:8081"))[0] == 200
        assert (await ask(path, Host="[2001:db8::1]:8081"))[0] == 200
        assert (await ask(path, Host="evil.test"))[0] == 421


async def test_a_probe_in_http_1_0_need_not_name_a_host() -> None:
    admin = Admin(always, gate())
    host, port = await admin.start("127.0.0.1", 0)
    try:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.0 200 OK")
        writer.close()
        await writer.wait_closed()
    finally:
        await admin.close()


async def test_a_port_that_is_taken_is_the_operators_to_mend() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        admin = Admin(always, gate())
        with pytest.raises(ConfigError, match=f"admin.listen: 127.0.0.1:{port}: "):
            await admin.start("127.0.0.1", port)
        await admin.close()


async def test_after_close_nobody_is_let_in() -> None:
    admin = Admin(always, gate())
    host, port = await admin.start("127.0.0.1", 0)
    await admin.close()
    await admin.close()
    with pytest.raises(OSError):  # noqa: PT011 - which one depends on the system
        await asyncio.open_connection(host, port)
