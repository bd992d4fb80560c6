"""One tab of a browser at a dashboard."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from playwright.async_api import ConsoleMessage, Page, expect

LIMIT_MS = 10_000


class Visit:
    """One tab at a dashboard, and all that went wrong in it.

    Attributes:
        requests: the address of each.
        faults: what the console and the page told.
        expected: statuses of answers that are part of a test; the console tells of each.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.requests: list[str] = []
        self.faults: list[str] = []
        self.expected: set[int] = set()
        page.set_default_timeout(LIMIT_MS)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._hear)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type not in {"error", "warning"}:
            return
        if "Failed to load resource" in message.text and any(
            f"status of {status} " in message.text for status in self.expected
        ):
            return
        if "ERR_CONNECTION_REFUSED" in message.text and 0 in self.expected:
            return
        self.faults.append(f"{message.type}: {message.text}")

    async def open(self, name: str, **parameters: str) -> None:
        """Open a page of the dashboard and wait until it has asked for all it shows."""
        query = "&".join(f"{key}={value}" for key, value in parameters.items())
        await self.page.goto(f"{self.url}/ui/#/{name}{'?' if query else ''}{query}")
        await self.page.locator("main h1").wait_for()
        await self.settled()

    async def settled(self) -> None:
        """Wait until no part of the page waits."""
        await expect(self.page.locator(".waiting, [aria-busy=true]")).to_have_count(0)

    async def shows(self, text: str, place: str = "body") -> None:
        """Wait until ``text`` is there to be seen."""
        found = self.page.locator(place).get_by_text(text)
        await found.filter(visible=True).first.wait_for()

    async def text(self, selector: str = "main") -> str:
        """What is there to be read, with plain blanks."""
        return (await self.page.locator(selector).inner_text()).replace("\u00a0", " ")

    async def evaluate(self, code: str, *given: Any) -> Any:
        return await self.page.evaluate(code, *given)

    def check(self) -> None:
        """Nothing went wrong, and nothing was asked of another origin."""
        assert self.faults == []
        own = (f"{self.url}/", "blob:")
        assert [url for url in self.requests if not url.startswith(own)] == []


Visiting = Callable[..., AbstractAsyncContextManager[Visit]]
