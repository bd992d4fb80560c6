"""The page as a browser sees it: whole, still, and asking nobody for anything."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright
from support.reported import meaning, told

from proxy.reporting.making import report

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        not shutil.which("chromium"),
        reason="chromium is not installed (on Debian: apt-get install chromium)",
    ),
]

EVIL = '"><img src=x onerror="document.title=1"><script>document.title=1</script>'

# The ratio of contrast of each text to what is behind it, as WCAG 2 has it.
CONTRASTS = """() => {
  const light = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).map((v) => {
    v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (e) => { while (e) { const c = getComputedStyle(e).backgroundColor;
    if (!c.startsWith('rgba(0, 0, 0, 0')) return c; e = e.parentElement; } return 'rgb(0,0,0)'; };
  return [...document.querySelectorAll('h1,h2,h3,p,td,th,a,dt,dd,summary,figcaption,span,text')]
    .filter((e) => e.textContent.trim() && !e.closest('details') && !e.matches('.skip'))
    .map((e) => { const style = getComputedStyle(e);
      const one = light(e.tagName === 'text' ? style.fill : style.color);
      const other = light(behind(e));
      return [(Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05),
              e.tagName + ': ' + e.textContent.slice(0, 40)]; });
}"""


def opened(page: Page, file: Path) -> list[str]:
    """What went wrong, or out, while ``file`` was opened."""
    seen: list[str] = []
    page.on("console", lambda message: seen.append(message.text))
    page.on("pageerror", lambda error: seen.append(str(error)))
    page.on("dialog", lambda dialog: seen.append(dialog.message))
    page.on("request", lambda each: seen.append(each.url) if each.url != file.as_uri() else None)
    page.goto(file.as_uri())
    return seen


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    document = told(
        semantic=meaning(family=EVIL),
        stats={"replica": EVIL, "loop_lag": {"p99_s": 0.2}},
        tiers={"guard": None},
    )
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(report(document).html, encoding="utf-8")
    return file


def test_it_is_shown_in_light_and_dark_and_on_small_screens(file: Path) -> None:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            page = browser.new_page(
                viewport={"width": 400, "height": 800},
                color_scheme=scheme,  # type: ignore[arg-type] # one of those
            )
            assert opened(page, file) == []
            assert page.title().startswith("sidecache: report of ")
            assert page.evaluate("document.documentElement.scrollWidth") <= 400
            assert page.locator("svg").count() == page.locator("figure").count() == 8
            faint = [text for ratio, text in page.evaluate(CONTRASTS) if ratio < 4.5]
            assert faint == []
            page.close()
        browser.close()


def test_its_tables_can_be_opened_by_the_keyboard_and_it_prints(file: Path) -> None:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page()
        assert opened(page, file) == []
        page.locator("summary").first.focus()
        page.keyboard.press("Enter")
        assert page.locator("details[open] table").count() == 1
        assert page.pdf().startswith(b"%PDF")
        browser.close()
