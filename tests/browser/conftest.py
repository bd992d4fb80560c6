"""The dashboard in a browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser, async_playwright
from support.visit import Visit, Visiting

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def visiting(browser: Browser) -> Visiting:
    """Opens a tab at a dashboard, in a session of its own."""

    @asynccontextmanager
    async def visit(url: str, **about: Any) -> AsyncIterator[Visit]:
        given: Any = {
            "viewport": {"width": 1280, "height": 800},
            "reduced_motion": "reduce",
            "timezone_id": "UTC",
            **about,
        }
        context = await browser.new_context(**given)
        try:
            visit = Visit(await context.new_page(), url)
            yield visit
            visit.check()
        finally:
            await context.close()

    return visit
