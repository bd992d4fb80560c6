"""From labelled questions to a threshold: what is read, rehearsed, suggested, drawn and told."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from support.embedding_server import EmbeddingServer, Mood

from proxy.calibration.chart import page
from proxy.calibration.choice import choice
from proxy.calibration.fitting import fit
from proxy.calibration.known import KnownEmbedder
from proxy.calibration.labelled import Asked, Pair, read_labelled, read_pairs, read_stream
from proxy.calibration.rehearsal import Rehearsal
from proxy.calibration.repeated import RepeatedIndex
from proxy.calibration.suggestion import hits_missing, steps, suggest
from proxy.calibration.trials import Trials
from proxy.cli import cli
from proxy.commands.calibrate import _yaml
from proxy.config.load import load
from proxy.config.settings import Settings
from proxy.model.entry import CacheKey
from proxy.model.errors import ConfigError, UpstreamError
from proxy.model.meaning import Doubt
from proxy.semantic.base import EmbedderError, Neighbour, Row
from proxy.semantic.budget.calibration import Point, Scored
from proxy.semantic.budget.wilson import wilson
from proxy.semantic.embedders.ngram import NgramEmbedder

HANDMADE = Path(__file__).parents[1] / "data/semantic/handmade_dev.jsonl"
FAQ = Path(__file__).parents[1] / "data/semantic/zh_faq_stream.jsonl"
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(*lines: object) -> Path:
        path = tmp_path / "labelled.jsonl"
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path.write_text("\n".join(texts), encoding="utf-8")
        return path

    return write


def semantic(**changes: Any) -> Settings:
    changes = {"enabled": True, "embedder": {"kind": "ngram"}} | changes
    return Settings.model_validate({"semantic": changes})


# -- what is read ---------------------------------------------------------------------------------


def test_pairs_may_have_more_members_empty_lines_and_no_category(write: Write) -> None:
    path = write(
        "\ufeff" + json.dumps({"a": "x", "b": "y", "label": 1, "cat": "para", "lang": "en"}),
        "",
        "  \r",
        {"b": "z", "a": "x", "label": 0, "source": {"id": 7}, "cat": None},
        {"a": "x", "b": "y", "label": True},
    )
    assert read_pairs(path) == [
        Pair("x", "y", True, "para", "en"),
        Pair("x", "z", False),
        Pair("x", "y", True),
    ]


def test_a_stream_is_read_in_order_and_no_further_than_wanted(write: Write) -> None:
    path = write({"q": "one", "group": "a"}, {"q": "two", "group": 2}, "not JSON")
    assert read_stream(path, 2) == [Asked("one", "a"), Asked("two", "2")]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([{"a": "x", "b": "y"}], 'line 1: needs a "label", 1'),
        ([{"a": "x", "b": "y", "label": 2}], 'line 1: needs a "label", 1'),
        ([{"a": "x", "b": "y", "label": 0.5}], 'line 1: needs a "label", 1'),
        ([{"a": "x", "label": 1}], 'line 1: needs "b", a text'),
        ([{"q": "x", "group": "g"}, "", {"q": 3, "group": "g"}], 'line 3: needs "q", a text'),
        ([{"q": "x", "group": None}], 'line 1: needs a "group"'),
        ([{"a": "x", "b": "y", "label": 1}, "{"], "line 2: is not JSON"),
        (["[]"], "line 1: is no JSON object"),
        ([{"question": "x"}], "line 1: is neither of a pair"),
        (["", " "], "is empty"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(
    write: Write, lines: Sequence[object], said: str
) -> None:
    with pytest.raises(ConfigError) as error:
        read_labelled(write(*lines))
    assert said in str(error.value)


def test_files_of_nothing_and_files_that_are_not_there_are_told(
    write: Write, tmp_path: Path
) -> None:
    for read in (read_pairs, read_stream):
        with pytest.raises(ConfigError, match="holds no"):
            read(write(""))
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_labelled(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("word", "chosen"),
    [
        ("ngram", {"kind": "ngram"}),
        ("none", {"kind": "none"}),
        ("all-MiniLM-L6-v2", {"kind": "sentence-transformers", "model": "all-MiniLM-L6-v2"}),
        ("onnx:models/minilm", {"kind": "onnx", "path": "models/minilm"}),
        (
            "remote:http://127.0.0.1:8000/v1,bge,m3",
            {"kind": "remote", "url": "http://127.0.0.1:8000/v1,bge", "model": "m3"},
        ),
    ],
)
def test_an_embedder_is_chosen_by_a_word(word: str, chosen: dict[str, str]) -> None:
    assert choice(word) == chosen


@pytest.mark.parametrize("word", ["", "onnx:", "remote:http://a", "remote:,m"])
def test_a_word_that_chooses_nothing_is_refused(word: str) -> None:
    with pytest.raises(ConfigError):
        choice(word)


# -- what is rehearsed ----------------------------------------------------------------------------


async def test_a_rehearsal_answers_as_the_proxy_would() -> None:
    rehearsal = Rehearsal(semantic())
    await rehearsal.start()
    try:
        trials = Trials(rehearsal)
        same = await trials.pair(Pair("What is a savings bond?", "What is a savings bond?", True))
        assert (same.kind, same.right, same.nearest) == ("exact", True, None)
        polite = await trials.pair(
            Pair("What is a savings bond?", "please, what's a savings bond", True)
        )
        assert (polite.kind, polite.right, polite.score) == ("canonical", True, 1.0)
        assert polite.nearest == Scored(1.0, True)
        swapped = "How many US dollars is 20 euros worth", "How many US dollars is 30 euros worth"
        number = await trials.pair(Pair(*swapped, False))
        assert (number.kind, number.right, number.score) == ("", None, None)
        assert number.doubt == Doubt.VETO_NUMBERS
        assert number.nearest is None
        far = await trials.pair(Pair("What is a savings bond?", "Where do penguins live?", False))
        assert (far.kind, far.doubt) == ("", Doubt.NOBODY)
    finally:
        await rehearsal.close()


async def test_a_stream_learns_its_misses_and_finds_them_again() -> None:
    rehearsal = Rehearsal(semantic(shadow={"enabled": False}))
    await rehearsal.start()
    try:
        trials, kinds = Trials(rehearsal), []
        for asked in (
            Asked("How do I open a savings account?", "open"),
            Asked("how do i open a savings account", "open"),
            Asked("How do I close a savings account?", "close"),
            Asked("How do I open a savings acount?", "open"),
        ):
            tried = await trials.look(asked)
            kinds.append((tried.kind, tried.right, await trials.settle(asked, tried)))
        assert kinds == [
            ("", None, True),
            ("canonical", True, False),  # a hit: nobody asks the backend
            ("", None, True),
            ("typo", True, False),
        ]
    finally:
        await rehearsal.close()


async def test_a_hit_is_asked_again_in_secret_and_becomes_a_label() -> None:
    rehearsal = Rehearsal(semantic())  # of a class's first hits, all are
    await rehearsal.start()
    try:
        trials = Trials(rehearsal)
        asked = [
            Asked("What is a savings bond?", "bond"),
            Asked("please, what's a savings bond", "bond?"),
        ]
        for each in asked:
            tried = await trials.look(each)
            assert await trials.settle(each, tried)
        assert (tried.kind, tried.right) == ("canonical", False)
        (stratum,) = rehearsal.semantic.budget.strata()
        estimate = rehearsal.semantic.budget.estimate(stratum)
        assert (stratum.fingerprint, estimate.labels, estimate.error) == ("canonical", 1, 1.0)
    finally:
        await rehearsal.close()


async def test_what_would_be_found_with_a_veto_off_is_told_and_changes_nothing() -> None:
    rehearsal = Rehearsal(semantic(threshold=0.75))
    await rehearsal.start()
    try:
        stored = rehearsal.question("How many US dollars is 20 euros worth")
        await rehearsal.land((await rehearsal.meet(stored)).question, "no. 1")
        asked = rehearsal.question("How many US dollars is 30 euros worth")
        met = await rehearsal.meet(asked)
        assert met.finding.doubt is Doubt.VETO_NUMBERS
        assert met.served is None
        without = rehearsal.otherwise(off=frozenset({Doubt.VETO_NUMBERS}))
        assert without.finder.counts == {}
        sought = met.question.sought
        assert not isinstance(sought, Doubt | None)
        found = await without.finder.find(sought, met.question.hit_on, 0.0)
        assert found.hit is not None
        assert (await rehearsal.meet(asked)).finding.doubt is Doubt.VETO_NUMBERS
    finally:
        await rehearsal.close()


async def test_a_question_that_would_not_be_cached_is_refused() -> None:
    rehearsal = Rehearsal(semantic(embedder={"kind": "none"}))
    await rehearsal.start()
    try:
        with pytest.raises(ConfigError, match="would not be cached"):
            rehearsal.asking(b"{}")
        with pytest.raises(ConfigError, match="would not be kept"):
            await rehearsal.land(rehearsal.question("x"), "x" * 5 * 2**20)
    finally:
        await rehearsal.close()


async def test_nobody_is_behind_a_rehearsal() -> None:
    rehearsal = Rehearsal(semantic(embedder={"kind": "none"}))
    question = rehearsal.question("Where do penguins live in winter?")
    with pytest.raises(UpstreamError, match="nobody answers"):
        await question.ask()
    with pytest.raises(UpstreamError, match="nobody answers"):
        await question.upstream.tunnel(question.outbound())
    body = question.request.body
    assert body.length is not None
    whole = await body.whole(body.length)
    assert whole == b"".join([piece async for piece in body.pieces()])
    assert await body.whole(body.length - 1) is None


async def test_a_text_is_embedded_once() -> None:
    class Counting(NgramEmbedder):
        def __init__(self) -> None:
            super().__init__()
            self.texts: list[str] = []

        async def embed(self, texts: Sequence[str]) -> Any:
            self.texts += texts
            return await super().embed(texts)

    inner = Counting()
    known, heard = KnownEmbedder(inner), []
    await known.start()
    await known.learn(["b b", "a", "b b"], lambda done, whole: heard.append((done, whole)))
    assert (inner.texts, heard) == (["a", "b b"], [(2, 2)])
    assert len(await known.embed(["a", "c", "a"])) == 3
    await known.afresh("a")
    assert inner.texts == ["a", "b b", "c", "a"]
    assert known.unknown("a") == inner.unknown("a")
    await known.close()


async def test_too_few_vectors_are_an_error() -> None:
    class Short(NgramEmbedder):
        async def embed(self, texts: Sequence[str]) -> Any:
            return (await super().embed(texts))[1:]

    known = KnownEmbedder(Short())
    await known.start()
    with pytest.raises(EmbedderError, match="1 vectors came for 2 texts"):
        await known.embed(["a", "b"])


class Noted:
    """An index that notes what it is asked to do."""

    name = "noted"

    def __init__(self) -> None:
        self.done: list[str] = []

    async def open(self, fingerprint: str, dimensions: int) -> None:
        self.done.append(f"open {fingerprint} {dimensions}")

    async def search(self, namespace: bytes, vector: Any, count: int) -> Sequence[Neighbour]:
        self.done.append(f"search {count}")
        return [Neighbour(KEY, 0.9)]

    async def add(self, rows: Sequence[Row]) -> None:
        self.done.append("add")

    async def remove(self, namespace: bytes, keys: Sequence[CacheKey]) -> None:
        self.done.append("remove")

    async def clear(self) -> None:
        self.done.append("clear")

    async def close(self) -> None:
        self.done.append("close")


KEY = CacheKey("scope", bytes(32))


async def test_what_is_searched_again_is_searched_once_until_something_has_changed() -> None:
    noted, vector = Noted(), np.ones(4, np.float32)
    repeated = RepeatedIndex(noted)
    await repeated.open("f", 4)
    for change in (
        repeated.add([]),
        repeated.remove(b"", []),
        repeated.clear(),
    ):
        for _ in range(3):
            assert await repeated.search(b"n", vector, 8) == [Neighbour(KEY, 0.9)]
        await change
    await repeated.search(b"n", vector, 8)
    await repeated.search(b"m", vector, 8)
    await repeated.search(b"m", vector + 1, 8)
    await repeated.close()
    assert (repeated.name, noted.done) == (
        "noted",
        [
            "open f 4", "search 8", "add", "search 8", "remove", "search 8", "clear",
            "search 8", "search 8", "search 8",
        ],
    )  # fmt: skip


async def test_an_embedder_that_cannot_tell_meanings_apart_fits_nothing() -> None:
    async with EmbeddingServer() as server:
        server.mood = Mood.EQUAL
        settings = semantic(embedder={"kind": "remote", "url": server.url, "model": "m"})
        with pytest.raises(ConfigError, match="cannot tell meanings apart"):
            await fit(settings, [Pair("one", "other", True)], lambda _text: None)


async def test_an_embedder_that_is_not_there_is_told() -> None:
    settings = semantic(embedder={"kind": "remote", "url": "http://127.0.0.1:1", "model": "m"})
    with pytest.raises(ConfigError, match="the model cannot be used"):
        await fit(settings, [Pair("one", "other", True)], lambda _text: None)


@pytest.mark.parametrize(
    ("embedder", "kept"),
    [
        ({"kind": "onnx", "path": "models/minilm"}, {"kind": "onnx", "path": "models/minilm"}),
        (
            {"kind": "remote", "url": "http://h:1/v1", "model": "bge", "api_key": "secret"},
            {"kind": "remote", "url": "http://h:1/v1", "model": "bge"},
        ),
        ({"kind": "sentence-transformers"}, {
            "kind": "sentence-transformers", "model": "all-MiniLM-L6-v2"
        }),
    ],
)  # fmt: skip
def test_what_is_to_be_configured_names_the_embedder_and_no_secret(
    embedder: dict[str, str], kept: dict[str, str]
) -> None:
    lines = yaml.safe_load(_yaml(semantic(embedder=embedder), 0.9))["semantic"]
    assert (lines["embedder"], lines["threshold"]) == (kept, 0.9)


# -- what is suggested ----------------------------------------------------------------------------


def test_the_lowest_threshold_that_is_proven_is_suggested() -> None:
    scored = [Scored(0.95, True)] * 300 + [Scored(0.85, True)] * 100 + [Scored(0.80, False)] * 50
    found = suggest(scored, 1000, 0.02)
    assert (found.threshold, found.proven, found.missing) == (0.85, True, 0)
    assert found.expected is not None
    assert (found.expected.hits, found.expected.hit_ratio) == (400, 0.4)


def test_what_is_below_the_least_threshold_is_not_suggested() -> None:
    scored = [Scored(0.95, True)] * 300 + [Scored(0.71, True)] * 300
    assert suggest(scored, 600, 0.02).threshold == 0.95
    assert suggest(scored, 600, 0.02, least=0.7).threshold == 0.71


def test_too_few_labels_prove_nothing_and_it_is_told_how_many_more_would() -> None:
    found = suggest([Scored(0.9, True)] * 60, 100, 0.02)
    assert (found.threshold, found.proven) == (0.9, False)
    assert found.missing == 189 - 60


def test_where_all_is_wrong_nothing_is_suggested() -> None:
    found = suggest([Scored(0.99, False)] * 10, 10, 0.02)
    assert (found.threshold, found.proven, found.expected) == (None, False, None)


@given(
    wrong=st.integers(0, 20),
    right=st.integers(0, 500),
    delta=st.floats(0.005, 0.4),
)
def test_as_many_more_hits_prove_it_and_one_fewer_does_not(
    wrong: int, right: int, delta: float
) -> None:
    hits = wrong + right
    if not hits:
        return
    missing = hits_missing(Point(0.9, 1.0, wrong / hits, 0.0, 1.0, hits), delta)
    enough = hits + missing
    assert missing >= 0 or wilson(wrong / hits, hits).high <= delta
    if missing > 0:
        assert wilson(wrong / enough, enough).high <= delta
        assert wilson(wrong / (enough - 1), enough - 1).high > delta


def test_the_curve_has_a_step_for_each_hundredth_that_has_hits() -> None:
    found = steps(suggest([Scored(0.75, False), Scored(0.8, True)], 4, 0.02).points)
    assert [point.threshold for point in found] == [step / 100 for step in range(70, 81)]
    assert (found[0].hit_ratio, found[0].wrong_per_hit) == (0.5, 0.5)
    assert (found[-1].hit_ratio, found[-1].wrong_per_hit) == (0.25, 0.0)


# -- what is drawn and told -----------------------------------------------------------------------


class Page(HTMLParser):
    """What is in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.labels: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        assert not {"src", "href", "onload"} & given.keys()
        if tag == "svg":
            assert given["role"] == "img"
            self.labels.append(given["aria-label"] or "")
        if tag not in {"meta", "line", "polygon", "polyline"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_chart_is_one_page_that_can_be_read_without_seeing_it() -> None:
    scored = [Scored(0.95, True)] * 300 + [Scored(0.8, False)] * 9
    text = page(suggest(scored, 400, 0.02), "<b>model</b>", 0.02)
    found = Page(text)
    assert not found.open  # all that was opened is closed
    assert "script" not in found.tags
    assert "http" not in text
    assert "&lt;b&gt;model&lt;/b&gt;" in text
    assert "prefers-color-scheme: dark" in text
    assert [label.split(" over")[0] for label in found.labels] == [
        "Wrong answers per hit",
        "Hits per question",
    ]
    assert found.tags.count("polyline") == 2
    assert found.tags.count("tr") == 1 + 26  # 0.70 to 0.95
    assert "Suggested threshold: 0.9500" in text


def test_a_chart_without_hits_says_so() -> None:
    text = page(suggest([], 5, 0.02), "m", 0.02)
    assert "No threshold keeps to 2.0%" in text
    assert not Page(text).open


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["calibrate", *words])


def questions(count: int) -> list[dict[str, object]]:
    """Pairs that mean the same and differ enough for the canonical form."""
    return [
        {
            "a": f"How can customer number {number} change the delivery address of an order",
            "b": f"How can customer number {number} change an order's delivery address",
            "label": 1,
        }
        for number in range(count)
    ]


def test_calibrate_suggests_what_can_be_put_into_the_configuration(
    write: Write, tmp_path: Path
) -> None:
    path, chart = write(*questions(200)), tmp_path / "chart.html"
    result = run(str(path), "--embedder", "ngram", "--chart", str(chart))
    assert result.exit_code == 0, result.output
    assert "200 hits, 0.00% of them wrong" in result.stdout
    config = tmp_path / "sidecache.yaml"
    config.write_text(result.stdout[result.stdout.index("semantic:") :])
    settings = load(config).settings.semantic
    assert settings.enabled
    assert settings.embedder.kind == "ngram"
    assert 0.75 <= settings.threshold < 1
    assert "<svg" in chart.read_text()
    told = json.loads(run(str(path), "-c", str(config), "--json").stdout)
    assert (told["proven"], told["expected"]["hits"]) == (True, 200)
    assert told["threshold"] == pytest.approx(settings.threshold)
    assert yaml.safe_load(told["config"])["semantic"]["threshold"] == told["threshold"]


def test_calibrate_says_how_many_more_labels_it_needs(write: Write) -> None:
    result = run(str(write(*questions(20))), "--embedder", "ngram")
    assert result.exit_code == 1
    assert "suggested  none yet" in result.stdout
    assert "To prove it takes 169 more such hits" in result.stdout
    assert "semantic:" not in result.stdout
    told = json.loads(run(str(write(*questions(20))), "--embedder", "ngram", "--json").stdout)
    assert (told["proven"], told["hits_missing"], told["config"]) == (False, 169, None)


def test_calibrate_takes_a_stream(write: Write) -> None:
    asked = [
        {"q": text, "group": f"{number}"}
        for number in range(30)
        for text in (
            f"How can customer number {number} change the delivery address of an order",
            f"How can customer number {number} change an order's delivery address",
        )
    ]
    result = run(str(write(*asked)), "--embedder", "ngram", "--json")
    told = json.loads(result.stdout)
    assert (told["questions"], told["expected"]["hits"]) == (60, 30)
    assert (told["expected"]["wrong_per_hit"], told["proven"]) == (0.0, False)


def test_calibrate_says_that_no_threshold_will_do(write: Write) -> None:
    wrong = [row | {"label": 0} for row in questions(5)]
    result = run(str(write(*wrong)), "--embedder", "ngram")
    assert result.exit_code == 1
    assert "suggested  none: no threshold kept to 2.0% wrong per hit" in result.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--embedder", "none"], "a threshold needs a model"),
        (["--embedder", "onnx:/nowhere"], "/nowhere"),
        (["--embedder", "onnx:"], "onnx: needs a folder"),
        (["--embedder", "ngram", "--chart", "/nowhere/chart.html"], "cannot be written"),
        (["-c", "/nowhere.yaml"], "/nowhere.yaml"),
    ],
)
def test_calibrate_tells_mistakes_without_a_traceback(
    write: Write, words: list[str], said: str
) -> None:
    result = run(str(write(*questions(2))), *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("path", [HANDMADE, FAQ])
def test_our_own_files_can_be_calibrated_with(path: Path) -> None:
    told = json.loads(run(str(path), "--embedder", "ngram", "--json").stdout)
    assert told["questions"] > 100
    assert 0 < told["curve"][0]["hit_ratio"] < 1
