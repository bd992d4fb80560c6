from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from html.parser import HTMLParser
from pathlib import PurePosixPath

import aiohttp
import pytest
from support.proxied import proxied
from yarl import URL

from proxy.admin.api import Admin
from proxy.admin.gate import Gate
from proxy.admin.pages import POLICY, Page, dashboard, routes

PAGES = {page.name: page for page in dashboard()}
SCRIPTS = [name for name in PAGES if name.endswith(".js")]
TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
MARKUP = (
    r"(?:inner|outer)HTML|insertAdjacent|document\.write|createContextualFragment|DOMParser|setHTML|parseHTML"
    r"|srcdoc\b(?!\$)|\beval\(|new Function|setTimeout\(['\"`]|javascript:|document\.cookie"
)
Ask = Callable[..., "aiohttp.client._RequestContextManager"]


def text(name: str) -> str:
    return PAGES[name].body.decode()


@pytest.fixture
async def ask() -> AsyncIterator[Ask]:
    """Asks a listener that wants a token, without one."""
    admin = Admin(lambda: True, Gate("a-token", (), clock=lambda: 0.0), pages=routes())
    _host, port = await admin.start("127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession() as session:

            def ask(path: str, **headers: str) -> aiohttp.client._RequestContextManager:
                named = {name.replace("_", "-"): value for name, value in headers.items()}
                url = URL(f"http://127.0.0.1:{port}{path}", encoded=True)
                return session.get(url, headers=named, allow_redirects=False)

            yield ask
    finally:
        await admin.close()


@pytest.mark.parametrize("name", PAGES)
async def test_every_file_is_served_to_all_as_what_it_is(ask: Ask, name: str) -> None:
    async with ask(f"/ui/{name}") as reply:
        assert reply.status == 200
        assert await reply.read() == PAGES[name].body
        assert reply.content_type == TYPES[PurePosixPath(name).suffix]
        assert reply.charset == "utf-8"


@pytest.mark.parametrize("path", ["/", "/ui/", "/ui", "/ui/app.js", "/ui/pages/live.js"])
async def test_a_browser_is_told_to_trust_nothing_else(ask: Ask, path: str) -> None:
    async with ask(path) as reply:
        headers = reply.headers
        assert headers["Content-Security-Policy"] == POLICY
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Set-Cookie" not in headers


def test_the_policy_begins_with_nothing_and_lets_in_this_origin_alone() -> None:
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    assert rules["default-src"] == "'none'"
    for name in ("base-uri", "form-action", "frame-ancestors", "trusted-types"):
        assert rules[name] == "'none'"
    for name in ("script-src", "style-src", "img-src", "connect-src"):
        assert rules[name] == "'self'"
    assert rules["require-trusted-types-for"] == "'script'"


@pytest.mark.parametrize("path", ["/", "/ui"])
async def test_the_root_leads_to_the_start(ask: Ask, path: str) -> None:
    async with ask(path) as reply:
        assert reply.status == 302
        assert reply.url.join(URL(reply.headers["Location"])).path == "/ui/"


async def test_the_start_is_the_page_in_html(ask: Ask) -> None:
    async with ask("/ui/") as reply:
        assert await reply.text() == text("index.html")


async def test_what_a_browser_has_is_not_sent_again(ask: Ask) -> None:
    async with ask("/ui/app.js") as reply:
        etag = reply.headers["ETag"]
        assert reply.headers["Cache-Control"] == "no-cache"
    for known in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        async with ask("/ui/app.js", If_None_Match=known) as reply:
            assert (reply.status, await reply.read()) == (304, b"")
            assert reply.headers["ETag"] == etag
            assert reply.headers["Content-Security-Policy"] == POLICY
    async with ask("/ui/app.js", If_None_Match='"other"') as reply:
        assert reply.status == 200


def test_another_content_has_another_name() -> None:
    one, other = (Page("a.js", "text/javascript", body) for body in (b"1", b"2"))
    assert one.etag != other.etag
    assert one.etag == Page("b.js", "text/javascript", b"1").etag


@pytest.mark.parametrize(
    "path",
    [
        "/ui/../pages.py",
        "/ui/..%2fpages.py",
        "/ui/%2e%2e/pages.py",
        "/ui/..%5cpages.py",
        "/ui//etc/passwd",
        "/ui/pages",
        "/ui/pages/",
        "/ui/pages/../../gate.py",
        "/ui/app.js/",
        "/ui/app.js%00.css",
        "/ui/App.js",
        "/ui/static/app.js",
        "/ui/__init__.py",
        "/ui/.",
        "/ui/app.js.map",
        "/ui/%61pp.jsx",
    ],
)
async def test_nothing_else_is_found_whatever_the_path(ask: Ask, path: str) -> None:
    async with ask(path) as reply:
        assert reply.status in {401, 404}
        assert reply.content_type == "application/json"


async def test_the_pages_are_for_callers_who_know_whom_they_ask(ask: Ask) -> None:
    async with ask("/ui/", Host="evil.test") as reply:
        assert reply.status == 421


async def test_what_they_show_needs_the_token(ask: Ask) -> None:
    async with ask("/openapi.json") as reply:
        assert reply.status == 401
        assert reply.headers["Cache-Control"] == "no-store"


# -- what the files may hold ------------------------------------------------------------------


class _Start(HTMLParser):
    """The page in HTML: what it refers to, and what it must not have."""

    def __init__(self) -> None:
        super().__init__()
        self.refers: list[str] = []
        self.odd: list[str] = []
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.refers += [given[name] for name in ("src", "href") if name in given]
        self.odd += [name for name in given if name.startswith("on") or name == "style"]
        self._in_script = tag in {"script", "style"}

    def handle_data(self, data: str) -> None:
        if self._in_script and data.strip():
            self.odd.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False


def test_the_start_has_no_script_or_style_of_its_own_and_refers_to_files_there_are() -> None:
    start = _Start()
    start.feed(text("index.html"))
    assert start.odd == []
    assert {name for name in start.refers if not name.startswith("#")} <= PAGES.keys()


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_script_makes_markup_or_code_of_text(name: str) -> None:
    code = re.sub(r"^const REFUSED = .*$", "", text(name), flags=re.MULTILINE)  # what it refuses
    assert re.findall(MARKUP, code) == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_a_script_imports_is_there(name: str) -> None:
    for target in re.findall(r'\bfrom "([^"]+)"', text(name)):
        path = PurePosixPath("/", name).parent / target
        parts: list[str] = []
        for part in path.parts[1:]:
            if part == "..":
                parts.pop()
            elif part != ".":
                parts.append(part)
        assert "/".join(parts) in PAGES, target


@pytest.mark.parametrize("name", PAGES)
def test_no_file_names_another_host(name: str) -> None:
    named = re.findall(r"https?://([^/\s'\"`)]+)", text(name))
    assert set(named) <= {"www.w3.org", "localhost:8080"}


@pytest.mark.parametrize("name", [name for name in PAGES if name.endswith(".css")])
def test_no_style_fetches_anything(name: str) -> None:
    assert re.findall(r"url\(|@import|@font-face|expression\(", text(name)) == []


def test_the_token_is_kept_for_the_tab_alone_and_nowhere_else() -> None:
    kept = re.findall(r"localStorage\.setItem\((\w+|\"\w+\")", "".join(map(text, SCRIPTS)))
    assert set(kept) == {"KEPT", '"theme"'}
    assert "localStorage" not in text("api.js")
    assert text("api.js").count("sessionStorage.setItem") == 1


@pytest.mark.parametrize("name", PAGES)
def test_no_file_is_too_long_to_be_read(name: str) -> None:
    assert text(name).count("\n") <= 400


# -- what they ask ----------------------------------------------------------------------------


async def test_all_that_the_pages_ask_is_in_the_document() -> None:
    """But for what is switched off here, and what the document is asked about first."""
    asked = {
        (method or "get", path.rstrip("/"))
        for name in SCRIPTS
        for method, path in re.findall(
            r"""api\s*\.(get|post|fetch|offers)\(\s*["`](/[a-z./]*)""", text(name)
        )
    }
    asked |= {("get", "/live")}
    settings = {
        "admin": {"listen": "127.0.0.1:0"},
        "semantic": {"enabled": True, "embedder": {"kind": "none"}},
    }
    async with (
        proxied("http://127.0.0.1:9", **settings) as proxy,
        aiohttp.ClientSession() as session,
        session.get(f"{proxy.admin_url}/openapi.json") as reply,
    ):
        paths = (await reply.json())["paths"]
    assert len(asked) > 12
    for method, path in asked:
        if method in {"get", "post"}:
            known = paths.get(path) or paths.get(f"{path}/{{key}}")
            assert known is not None, path
            assert method in known, path
