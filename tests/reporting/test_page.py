from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from typing import Any

import pytest
from support.reported import Json, meaning, model, point, saved, told, upstream

from proxy.reporting.anomalies import anomalies
from proxy.reporting.drawing import Picture, svg
from proxy.reporting.findings import findings
from proxy.reporting.making import Unanswered, gather, report
from proxy.reporting.page import page as written
from proxy.reporting.page import text
from proxy.reporting.series import Chart, charts
from proxy.reporting.summary import summary
from proxy.reporting.told import Told, read

XSS = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'><svg/onload=alert(1)>",
    "</title><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</svg><script>alert(1)</script>",
    "--><script>alert(1)</script>",
    "]]><script>alert(1)</script>",
    "javascript:alert(1)",
    "<iframe src=//evil.test>",
    "<a href=javascript:alert(1)>x</a>",
    "<body onload=alert(1)>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<base href=//evil.test>",
    "<meta http-equiv=refresh content=0;url=//evil.test>",
    "<link rel=stylesheet href=//evil.test>",
    "<style>@import '//evil.test'</style>",
    "url(//evil.test)",
    "$\\frac{1}{2}$ \\href{//evil.test}{x}",
    "\ud800<b>\x00\x1b[31m",
    "#010110 id=\"x\" xlink:href=\"#x\" url(#x)",
    "_<u>hidden from legends</u>",
]  # fmt: skip
VOID = {"meta", "link", "img", "br", "hr", "input", "col"}


class Read(HTMLParser):
    """A page, read as strictly as the standard library can."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data: str) -> None:
        self.words += data

    def values(self, name: str) -> list[str]:
        return [value for _, attribute, value in self.attributes if attribute == name]


def page(about: Told, *shown: Chart) -> str:
    """The page with these charts only, as drawing takes its time."""
    pictures = [Picture(chart, svg(chart)) for chart in shown]
    return written(about, summary(about), findings(about), anomalies(about), pictures)


@pytest.fixture(scope="module")
def plain() -> str:
    return report(told(semantic=meaning())).html


def hostile(said: str) -> Told:
    """A report in which every text from outside is ``said``."""
    return read(everywhere(saved(semantic=meaning()), said, "$"))


def everywhere(value: Any, said: str, path: str) -> Any:
    kept = {"saved_at", "at", "started_at", "now", "state", "stage", "what"}
    match value:
        case dict():
            changed = {
                name: each if name in kept else everywhere(each, said, f"{path}.{name}")
                for name, each in value.items()
            }
            if path.endswith((".responses", ".errors", "].tiers")):
                changed[said] = 5
            return changed
        case list():
            return [everywhere(each, said, f"{path}[{n}]") for n, each in enumerate(value)]
        case str() if not path.endswith(".outcome"):
            return said
    return value


def test_it_says_what_the_cache_did_and_shows_every_section(plain: str) -> None:
    read_back = Read(plain)

    assert read_back.tags["figure"] == read_back.tags["figcaption"] == 8
    assert read_back.tags["svg"] == read_back.tags["details"] == 8
    for words in ("68.3 %", "27.40 USD", "gpt-4o-mini", "l2_disk", "credential", "256 MiB"):
        assert words in read_back.words, words
    for sentence in summary(told(semantic=meaning())):
        assert sentence in read_back.words


def test_it_needs_nothing_but_itself(plain: str) -> None:
    read_back = Read(plain)

    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & set(read_back.tags)
    references = read_back.values("href") + read_back.values("xlink:href") + read_back.values("src")
    assert references
    assert all(each.startswith("#") for each in references)
    assert set(re.findall(r"url\(([^)]{1,2})", plain)) == {
        "#" + plain.partition("url(#")[2][0]
    } or all(each.startswith("#") for each in re.findall(r"url\(([^)]*)\)", plain))
    assert "@import" not in plain
    assert list(re.findall(r"https?://[^\s\"<]*", plain)) == ["http://127.0.0.1:8000"]
    (policy,) = [v for v in read_back.values("content") if "default-src" in v]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline';")


def test_whatever_is_referred_to_is_there_once(plain: str) -> None:
    read_back = Read(plain)
    names = Counter(read_back.values("id"))
    referred = [each[1:] for each in read_back.values("href")]
    referred += re.findall(r"url\(#([^)]*)\)", plain)
    referred += read_back.values("aria-labelledby")

    assert set(names.values()) == {1}
    assert set(referred) <= set(names)


def test_its_pictures_take_the_colours_of_the_page(plain: str) -> None:
    pictures = "".join(re.findall(r"<svg.*?</svg>", plain, re.DOTALL))
    style = plain.partition("<style>")[2].partition("</style>")[0]

    assert set(re.findall(r"(?:fill|stroke|color)(?:: |=\")(#\w+)", pictures)) <= {"#ffffff"}
    used = set(re.findall(r"var\((--\w+)\)", pictures))
    assert {"--ink", "--soft", "--grid", "--c1"} <= used
    for name in used:
        assert len(re.findall(rf"{name}: #", style)) == 3  # light, dark, paper


@pytest.mark.parametrize("said", XSS)
def test_texts_from_outside_stay_texts(plain: str, said: str) -> None:
    about = hostile(said)
    read_back = Read(page(about))

    assert set(read_back.tags) <= set(Read(plain).tags)
    assert not [name for _, name, _ in read_back.attributes if name.startswith("on")]
    assert "script" not in read_back.tags
    assert all(each.startswith("#") for each in read_back.values("href"))
    bounded = said.encode("utf-8", "replace").decode()
    assert bounded in read_back.words


@pytest.mark.parametrize("some", [XSS[:8], XSS[8:16], XSS[16:]])
def test_texts_from_outside_stay_texts_in_charts_too(plain: str, some: list[str]) -> None:
    models = [model(said, 1_000 - place, 1.0) for place, said in enumerate(some)]
    tiers = dict.fromkeys(some, 1)
    about = told(
        stats={"models": models}, history={"points": [point(n, tiers=tiers) for n in (1, 2)]}
    )
    named = [chart for chart in charts(about) if chart.slug in {"models", "hit-rate"}]
    read_back = Read(page(about, *named))

    assert len(named) == read_back.tags["svg"] == 2
    assert set(read_back.tags) <= set(Read(plain).tags)
    assert not [name for _, name, _ in read_back.attributes if name.startswith("on")]
    assert all(each.startswith("#") for each in read_back.values("href"))


def test_a_text_has_a_bound() -> None:
    assert text("<" * 500) == "&lt;" * 300 + "…"


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({"stats": {"requests": {"total": 0}}}, "Nothing was asked in the 2 d since the start."),
        ({"history": {"points": []}, "stats": {"stages": [], "models": []}}, "no history to draw"),
        ({"stats": {"models": []}}, "No model was asked yet."),
        ({"stats": {"by": []}}, "Nothing was asked yet."),
        ({"stats": {"stages": [], "latency": []}}, "Nothing was measured yet."),
        ({"tiers": {"tiers": []}}, "None was told of."),
        ({"upstreams": {"upstreams": []}}, "None was told of."),
        ({"semantic": {"strata": []}}, "Nothing was measured yet."),
        ({"untold": {"/tiers": "says 500: a bug"}}, "/tiers: says 500: a bug"),
        ({"stats": {"started_at": None}}, "Started"),
        ({"span": ""}, "Report of 2026-05-04 12:00:00 UTC."),
        ({"history": {"points": [point(n, error=40 * (n == 9)) for n in range(99)]}}, "rose to"),
        ({"upstreams": {"upstreams": [upstream(errors={"dns_error": 7})]}}, "dns_error: 7"),
        ({"stats": {"models": [model(f"m{n}", 9, None) for n in range(60)]}}, "and 10 more"),
        ({"stats": {"loop_lag": {"p99_s": 1.0}}}, "semantic.embedder.kind"),
        ({"config": {"settings": {"cache": {"stale_if_error_s": 0.0}}}}, "cache.stale_if_error_s"),
    ],
)  # fmt: skip
def test_what_is_missing_or_odd_is_said(about: Json, says: str) -> None:
    assert says in Read(page(told(**about))).words


def test_a_calm_proxy_has_no_anomalies_and_little_to_change(plain: str) -> None:
    assert "Nothing in the time that was recorded." in plain
    calm = told(stats={"stages": []})
    assert "Nothing that a setting would change." in page(calm)


def test_the_same_is_written_the_same(plain: str) -> None:
    assert report(told(semantic=meaning())).html == plain


def test_what_is_asked_for_is_all_that_it_needs() -> None:
    document = saved(semantic=meaning())
    answers = {
        "/stats": "stats", "/stats/history": "history", "/tiers": "tiers", "/config": "config",
        "/upstreams": "upstreams", "/semantic": "semantic",
    }  # fmt: skip
    asked: list[tuple[str, Json]] = []

    def ask(path: str, query: Any) -> Json:
        asked.append((path, dict(query)))
        return document[answers[path]]

    told_now = told()
    gathered = gather(ask, "6h", told_now.saved_at)

    assert read(json.loads(json.dumps(gathered))) == read(document)
    assert {path for path, _ in asked} == set(answers)
    assert dict(asked)["/stats/history"] == {"span": "6h"}


def test_what_is_not_answered_is_told_but_for_meaning_which_may_be_off() -> None:
    def ask(path: str, query: Any) -> Json:
        if path == "/stats":
            return saved()["stats"]
        raise Unanswered(f"404: {path}")

    gathered = read(gather(ask, "1h", told().saved_at))

    assert set(gathered.untold) == {"/stats/history", "/tiers", "/upstreams", "/config"}
    assert gathered.untold["/tiers"] == "404: /tiers"
    assert gathered.semantic is None


def test_without_stats_there_is_no_report() -> None:
    def ask(path: str, query: Any) -> Json:
        raise Unanswered("nobody answers")

    with pytest.raises(Unanswered):
        gather(ask, "1h", told().saved_at)
