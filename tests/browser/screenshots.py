"""Makes the pictures in docs/images anew: ``python tests/browser/screenshots.py``.

A proxy serves the demo's backend for a minute, then a browser looks at it. The fonts are those
of the machine.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
from io import BytesIO
from pathlib import Path

import aiohttp
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from playwright.async_api import Page, async_playwright  # noqa: E402 - its place is made above
from support.proxied import Proxied, proxied  # noqa: E402

from proxy.demo.backend import DemoBackend, Pace  # noqa: E402

QUESTIONS = [
    f"{ask} {what}?"
    for ask in ("What is", "Who needs", "How does one test", "When is there")
    for what in ("a sidecar", "a cache stampede", "a stream", "a breaker", "a bloom filter")
]
SHOTS = (  # page, theme
    ("overview", "light"), ("overview", "dark"), ("live", "dark"), ("entries", "light"),
    ("explain", "light"), ("health", "light"),
)  # fmt: skip
SECONDS = 75.0


async def traffic(proxy: Proxied) -> None:
    """Ask as people do: few questions often, many seldom, now and then something odd."""
    dice = random.Random(7)
    limit = asyncio.timeout(SECONDS)
    try:
        async with limit, aiohttp.ClientSession() as session, asyncio.TaskGroup() as asking:
            while True:
                asking.create_task(ask(session, proxy.url, dice))
                await asyncio.sleep(dice.expovariate(14))
    except TimeoutError:
        if not limit.expired():
            raise


async def ask(session: aiohttp.ClientSession, url: str, dice: random.Random) -> None:
    text = QUESTIONS[min(int(dice.paretovariate(0.9)) - 1, len(QUESTIONS) - 1)]
    question = {
        "model": dice.choice(["small", "small", "large"]),
        "messages": [{"role": "user", "content": text}],
        "temperature": 1.0,
    }
    headers = {"X-Cache-Tags": f"doc:{len(text)}"}
    odd = dice.random()
    if odd < 0.04:
        headers["Cache-Control"] = "no-store"
    elif odd < 0.06:
        question["store"] = True
    elif odd < 0.07:
        question["messages"] = []
    async with session.post(f"{url}/v1/chat/completions", json=question, headers=headers) as reply:
        await reply.read()


async def shoot(page: Page, url: str, name: str) -> None:
    span = "?span=15m" if name == "overview" else ""
    await page.goto(f"{url}/ui/#/{name}{span}")
    if name == "explain":
        await page.get_by_text("Compare with another request").click()
        for area, text in zip(await page.locator("textarea").all(), QUESTIONS[:2], strict=True):
            body = f'{{"model": "small", "messages": [{{"role": "user", "content": "{text}"}}]}}'
            await area.fill(body)
        await page.get_by_role("button", name="Explain", exact=True).click()
        await page.get_by_text("They have different keys").wait_for()
    await page.wait_for_timeout(1500)  # what is drawn late is drawn by then


async def main() -> None:
    settings = {
        "admin": {"listen": "127.0.0.1:0"},
        "savings": {
            "prices": [
                {"model": "small", "input": 0.6, "output": 2.4},
                {"model": "large", "input": 5.0, "output": 20.0},
            ]
        },
    }
    folder = ROOT / "docs" / "images"
    folder.mkdir(exist_ok=True)
    async with (
        DemoBackend(Pace(0.4, 0.012)) as backend,
        proxied({"id": "models", "url": backend.url}, **settings) as proxy,
        async_playwright() as playwright,
    ):
        await traffic(proxy)
        assert proxy.admin_url is not None
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for name, theme in SHOTS:
            page = await browser.new_page(
                viewport={"width": 1280, "height": 800},
                color_scheme="dark" if theme == "dark" else "light",
            )
            await shoot(page, proxy.admin_url, name)
            picture = Image.open(BytesIO(await page.screenshot()))
            picture.quantize(128).save(folder / f"{name}-{theme}.png", optimize=True)
            await page.close()
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
