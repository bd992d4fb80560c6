"""The documentation against what there is: commands, settings, links, reasons, modules."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import aiohttp
import click
import pytest
from support.proxied import proxied

from proxy.cli import cli
from proxy.config.load import load
from proxy.config.outline import outline
from proxy.demo.backend import DemoBackend, Pace
from proxy.model.decision import Why
from proxy.model.errors import UpstreamError
from proxy.model.meaning import Doubt
from proxy.model.message import Headers
from proxy.model.query import Controls
from proxy.wire.cache_control import (
    UNASKED,
    UNSAID,
    controls_from_object,
    response_lifetime,
)
from proxy.wire.steering import Family, Steering
from proxy.wire.tags import tags_of

ROOT = Path(__file__).parents[2]
README, HEADERS = "README.md", "docs/headers.md"
MAP = "docs/how-it-works.md"
PURGING, REDIS, CLIENTS = "docs/purging.md", "docs/redis.md", "docs/clients.md"
RAG = "docs/rag.md"
PAGES = [
    README,
    "CHANGELOG.md",
    "k8s/README.md",
    *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/**/*.md")),
]
WRITTEN = [  # by hand, and for users
    README, HEADERS, MAP, PURGING, REDIS, CLIENTS, RAG, "docs/meaning.md", "docs/embeddings.md",
    "docs/http-resources.md", "docs/compression.md", "docs/degradation.md", "docs/metrics.md",
    "docs/monitoring.md", "docs/runbook.md", "docs/commands.md", "docs/tuning.md",
    "docs/dashboard.md", "docs/operating.md", "docs/reloading.md", "docs/explain.md",
    "docs/tracing.md", "docs/draining.md", "docs/containers.md", "k8s/README.md",
    "docs/workers.md", "docs/overload.md", "docs/sizing.md", "docs/performance.md",
]  # fmt: skip
AT = "http://localhost:8080"  # where the examples expect the proxy


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(page), re.DOTALL | re.MULTILINE)


def every(language: str) -> list[object]:
    """The blocks in one language, as parameters."""
    return [
        pytest.param(block, id=f"{page} {number}")
        for page in WRITTEN
        for number, block in enumerate(blocks(page, language), 1)
    ]


def section(page: str, title: str) -> str:
    """What stands under a heading, its own subsections included."""
    level, rest = re.split(rf"^(#+) {re.escape(title)}$", text_of(page), flags=re.MULTILINE)[1:]
    return re.split(rf"^#{{1,{len(level)}}} ", rest, flags=re.MULTILINE)[0]


def first_cells(text: str) -> list[str]:
    """What stands in code quotes in the first column of the tables in ``text``."""
    return [
        code
        for row in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
        for code in re.findall(r"`([^`]+)`", row)
    ]


# -- commands ---------------------------------------------------------------------------------


def commands() -> Iterator[str]:
    """Every call of ``./run`` or ``sidecache`` in the pages, in blocks and in running text."""
    for page in WRITTEN:
        quoted = re.findall(r"`((?:\./run|sidecache) [^`]+)`", text_of(page))
        lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
        calls = [line for line in lines if line.startswith(("./run", "sidecache"))]
        yield from (" ".join(call.split()) for call in [*quoted, *calls])


def scripts_own() -> list[str]:
    """The commands that ``./run`` does not hand on to ``sidecache``."""
    return re.findall(r"^    ([a-z]+),[*1]\)$", text_of("run"), re.MULTILINE)


@pytest.mark.parametrize("call", sorted(set(commands())))
def test_a_command_that_is_shown_exists_with_its_options(call: str) -> None:
    program, name, *arguments = shlex.split(call, comments=True)
    own = scripts_own()
    assert {"test", "bench", "lock", "check"} <= set(own)
    if program == "./run" and name in own and not (name == "check" and arguments):
        return
    command = cli.get_command(click.Context(cli), name)
    assert command is not None, call
    try:
        command.make_context(name, [a for a in arguments if a != "..."])
    except click.UsageError as error:
        pytest.fail(f"{call}: {error.format_message()}")


# -- examples ---------------------------------------------------------------------------------


@pytest.mark.parametrize("block", every("yaml"))
def test_a_configuration_that_is_shown_is_valid(block: str, tmp_path: Path) -> None:
    file = tmp_path / "sidecache.yaml"
    file.write_text(block)

    assert list(load(file).warnings) == []


@pytest.mark.parametrize("block", every("json"))
def test_json_that_is_shown_is_valid(block: str) -> None:
    json.loads(block)


async def test_the_python_examples_of_the_readme_do_what_they_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-made-up")
    examples = "\n".join(blocks(README, "python"))
    assert AT in examples

    async with DemoBackend(Pace(0, 0)) as backend, proxied(backend.url) as proxy:
        program = f"{examples.replace(AT, proxy.url)}\nclient.close()"
        await asyncio.to_thread(exec, compile(program, README, "exec"), {})
        assert backend.calls == 2  # the first, and the one in a namespace of its own

    said, verdict, again = capsys.readouterr().out.splitlines()
    assert said == again
    assert f"# {verdict}" in examples
    assert proxy.verdicts == ["MISS", "HIT", "MISS"]


async def test_the_replies_of_the_readme_are_those_of_the_proxy() -> None:
    asked, _purge = re.findall(r"-d '(.*)'", "".join(blocks(README, "sh")))
    shown = [
        [line.partition(": ")[::2] for line in block.splitlines()[1:]]
        for block in blocks(README, "http")
    ]
    assert len(shown) == 2

    async with (
        DemoBackend(Pace(0, 0)) as backend,
        proxied(backend.url) as proxy,
        aiohttp.ClientSession(headers={"Content-Type": "application/json"}) as session,
    ):
        for fields_shown in shown:
            async with session.post(f"{proxy.url}/v1/chat/completions", data=asked) as reply:
                await reply.read()
            ours = [(n, v) for n, v in reply.headers.items() if n in dict(shown[1])]
            assert [(n, bare(v)) for n, v in ours] == [(n, bare(v)) for n, v in fields_shown]


def bare(value: str) -> str:
    """``value`` less its numbers: they differ from run to run."""
    return re.sub(r"(?<==)[\d.]+", "N", value)


# -- links ------------------------------------------------------------------------------------


def anchors(page: str) -> set[str]:
    prose = re.sub(r"^```.*?^```$", "", text_of(page), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_links_within_the_project_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (ROOT / page).parent / path if path else ROOT / page
        assert found.exists(), target
        assert not anchor or anchor in anchors(str(found.resolve().relative_to(ROOT))), target


@pytest.mark.parametrize("page", WRITTEN)
def test_files_that_are_named_exist(page: str) -> None:
    named = re.findall(r"`((?:proxy|tests|docs|config)/[\w/.-]+)`", text_of(page))
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", WRITTEN)
def test_settings_that_are_named_exist(page: str) -> None:
    known = {setting.name for setting in outline()}
    groups = "|".join(sorted({name.partition(".")[0] for name in known if "." in name}))
    named = re.findall(rf"`((?:{groups})\.[a-z0-9_.]+)", text_of(page))
    assert [name for name in named if name not in known] == []


# -- headers ----------------------------------------------------------------------------------


def reasons_in_use() -> set[str]:
    """The reasons that the proxy can give: members that are named outside the model."""
    used = set()
    for file in (ROOT / "proxy").glob("**/*.py"):
        if file.parent.name == "model":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Attribute(value=ast.Name(id="Why"), attr=name):
                    used.add(Why[name].value)
    return used


def test_every_reason_is_explained_and_no_other_is() -> None:
    assert set(first_cells(section(HEADERS, "Reasons"))) == reasons_in_use() | {*Doubt}


def test_every_doubt_has_a_place_of_its_own() -> None:
    told = first_cells(section(HEADERS, "Why nothing was found by meaning"))
    assert sorted(told) == sorted(Doubt)


def test_the_readme_explains_only_reasons_that_there_are() -> None:
    explained = first_cells(section(README, "Why it was a hit, or was not"))
    assert set(explained) <= reasons_in_use() | {"stream"}  # a detail, and no reason


def test_every_request_header_that_is_explained_has_an_effect_and_every_wish_has_a_header() -> None:
    told = [
        Steering(Family).controls(Headers([tuple(field.split(": ", 1))]))
        for field in first_cells(section(HEADERS, "What a caller can ask"))
        if not field.startswith('"')
    ]
    assert UNASKED not in told
    asked = {f.name for each in told for f in fields(Controls) if wish(each, f.name)}
    assert asked == {f.name for f in fields(Controls)}


def test_every_member_of_the_cache_object_that_is_explained_has_an_effect() -> None:
    members = [m for m in first_cells(section(HEADERS, "What a caller can ask")) if m[0] == '"']
    assert len(members) == 9
    for member in members:
        assert controls_from_object(json.loads(f"{{{member}}}")) not in (None, UNASKED), member


def test_every_request_header_in_the_readme_is_in_the_reference() -> None:
    known = text_of(HEADERS)
    for field in first_cells(section(README, "Steer it per request")):
        assert re.sub(r"\d+\w?$", "", field) in known


def wish(controls: Controls, name: str) -> bool:
    return getattr(controls, name) != getattr(UNASKED, name)


def test_every_response_header_of_a_backend_that_is_explained_is_read() -> None:
    for field in first_cells(section(HEADERS, "What a backend can say")):
        headers = Headers([tuple(field.split(": ", 1))])
        assert response_lifetime(headers) != UNSAID or tags_of(headers), field


async def test_every_header_the_proxy_adds_is_explained() -> None:
    explained = set(first_cells(section(HEADERS, "What the proxy tells")))
    backends = {"x-content-type-options", "content-type", "date", "server", "content-length"}

    async with (
        DemoBackend(Pace(0, 0)) as backend,
        proxied(
            {"url": backend.url},
            {"url": "http://127.0.0.1:9", "prefix": "/dead"},
            compression=[{"rules": ["blank"]}],
        ) as proxy,
        aiohttp.ClientSession(headers={"Content-Type": "application/json"}) as session,
    ):
        question = {"model": "demo", "messages": [{"role": "user", "content": "Hello"}]}
        told = set()
        for path in ("", "", "/dead"):
            url = f"{proxy.url}{path}/v1/chat/completions"
            async with session.post(url, json=question) as reply:
                told |= set(reply.headers)
        only = {"Cache-Control": "no-cache, only-if-cached"}
        url = f"{proxy.url}/v1/chat/completions"
        async with session.post(url, json=question, headers=only) as reply:
            told |= set(reply.headers)
        long = {"model": "demo", "messages": [{"role": "user", "content": "Hi" + " " * 9 + "you"}]}
        async with session.post(url, json=long) as reply:
            told |= set(reply.headers)
        async with session.post(url, json=question, headers={"X-Cache-Variants": "2"}) as reply:
            told |= set(reply.headers)
        told |= await told_of_meaning(backend.url, session)
    assert proxy.verdicts[:4] == ["MISS", "HIT", "ERROR", "ERROR"]
    assert {name for name in told if name.lower() not in backends | {"cache-control"}} == explained


async def told_of_meaning(backend: str, session: aiohttp.ClientSession) -> set[str]:
    """The headers of the answer to a question in other words."""
    words = {"enabled": True, "embedder": {"kind": "none"}, "shadow": {"enabled": False}}
    async with proxied({"url": backend}, semantic=words) as proxy:
        assert proxy.semantic is not None
        for text in ("How do I reset my router?", "Please, how do I reset my router"):
            question = {"model": "demo", "messages": [{"role": "user", "content": text}]}
            url = f"{proxy.url}/v1/chat/completions"
            async with session.post(url, json=question) as reply:
                told = set(reply.headers)
                await reply.read()
            await proxy.landed()
            await proxy.semantic.learner.settled()
    assert proxy.verdicts == ["MISS", "HIT"]
    return told


def test_every_way_a_backend_can_fail_is_explained() -> None:
    def kinds(kind: type[UpstreamError]) -> Iterator[type[UpstreamError]]:
        yield kind
        for each in kind.__subclasses__():
            if each.__module__ == UpstreamError.__module__:
                yield from kinds(each)

    table = section(HEADERS, "Errors of the proxy")
    for kind in kinds(UpstreamError):
        assert re.search(rf"^\| {kind.status} \| .*`{kind.token}`", table, re.MULTILINE), kind


# -- the map ----------------------------------------------------------------------------------


def mapped() -> set[str]:
    """The modules and packages that the map names, as paths below ``proxy``."""
    (tree,) = [block for block in blocks(MAP, "text") if block.startswith("proxy/\n")]
    found: set[str] = set()
    folders = [""]  # one for each step of two blanks
    for line in tree.splitlines()[1:]:
        indent, name = re.fullmatch(r"( +)(\S+) .*\S", line).groups()  # type: ignore[union-attr] # else it fails
        del folders[len(indent) // 2 :]
        found.add(folders[-1] + name)
        folders.append(folders[-1] + name if name.endswith("/") else folders[-1])
    return found


def test_the_map_names_every_module_with_a_line_and_nothing_else() -> None:
    modules = {p.relative_to(ROOT / "proxy") for p in (ROOT / "proxy").glob("**/*.py")}
    there = {str(m) for m in modules if m.name != "__init__.py"}
    there |= {f"{m.parent}/" for m in modules if m.name == "__init__.py" and m.parent.name}

    assert there - mapped() == set(), "not on the map"
    assert mapped() - there - {"flight/__init__.py"} == set(), "on the map only"


def test_the_layers_are_those_that_are_enforced() -> None:
    contracts = tomllib.loads(text_of("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    (shown,) = blocks(MAP, "text")[-1:]
    assert shown.splitlines() == layers
