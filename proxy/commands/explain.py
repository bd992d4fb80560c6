"""The command that tells what would become of a request, and why; or why two are not the same."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import orjson

from proxy.commands.asking import Json, Operator, asks_operator
from proxy.commands.credentials import Header, asks_as_client, headers
from proxy.commands.refused import Refused
from proxy.commands.said import Said, flag, number, part, rows, text, texts
from proxy.commands.screen import console, json_option, styled, table, tell
from proxy.commands.stats import STYLES
from proxy.figures import duration, size

if TYPE_CHECKING:
    from rich.console import RenderableType

    from proxy.calling import Question

_MOST_BYTES: Final = 16 * 2**20
_TERMS: Final = ("ttl_s", "max_ttl_s", "stale_while_revalidate_s", "stale_if_error_s")


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--curl", metavar="CALL", help="In place of FILE: the call of curl that makes it.")
@click.option("--method", help="In place of what FILE says.")
@click.option("--path", metavar="PATH", help="Where to; a body alone goes to chat completions.")
@click.option("--body", metavar="TEXT", help="In place of FILE: what is sent.")
@asks_as_client
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    help="Another request: tell what makes the two differ.",
)
@click.option(
    "--neighbours",
    type=click.IntRange(0, 50),
    default=5,
    show_default=True,
    help="How many questions of like meaning to show.",
)
@click.option(
    "--threshold", type=click.FloatRange(0, 1), help="What if this were semantic.threshold?"
)
@json_option
@asks_operator
def explain(
    *,
    operator: Operator,
    file: Path | None,
    curl: str | None,
    method: str | None,
    path: str | None,
    body: str | None,
    header: tuple[str, ...],
    header_file: Path | None,
    api_key_env: str | None,
    against: Path | None,
    neighbours: int,
    threshold: float | None,
    as_json: bool,
) -> None:
    """Tell what would become of a request, and why, without sending it.

    FILE holds the request as JSON, {"path": ..., "headers": {...}, "body": {...}}, or its body
    alone; - reads standard input. Give the headers that clients send, their key above all: they
    count.
    """
    sent = headers(header, header_file, api_key_env)
    asked = _asked(file, curl, path, body)
    if method is not None:
        asked = asked._replace(method=method.upper())
    told = operator.post(
        "/explain",
        {
            "request": _request(asked, sent),
            "other": None if against is None else _request(_from_file(against, path), sent),
            "neighbours": neighbours,
            "threshold": threshold,
        },
    )
    if as_json:
        tell(told)
        return
    screen = console()
    for each in explained(part(told, "request")):
        screen.print(each)
    if against is not None:
        for each in _differences(told, against):
            screen.print(each)


def _asked(file: Path | None, curl: str | None, path: str | None, body: str | None) -> Question:
    """The request, wherever it was given. Raises Refused."""
    from proxy.calling import Question  # noqa: PLC0415 - aiohttp, only when it is needed
    from proxy.commands.curl import parsed  # noqa: PLC0415 - as above
    from proxy.warming.questions import Reader, raw_path  # noqa: PLC0415 - as above

    ways = [way for way in (file, curl, body) if way is not None]
    if len(ways) > 1:
        raise Refused("give the request once: as FILE, by --curl, or by --path and --body")
    try:
        if file is not None:
            return _from_file(file, path)
        if curl is not None:
            return parsed(curl)
        if body is not None:
            return Reader(path=path).read(body.encode())
        if path is not None:
            return Question("GET", raw_path(path), (), b"")
    except ValueError as error:
        raise Refused(f"{'--curl' if curl is not None else '--body'}: {error}") from error
    raise Refused("explain what? Give a FILE with the request, --curl, or --path and --body")


def _from_file(file: Path, path: str | None) -> Question:
    """Raises Refused."""
    from proxy.warming.questions import Reader  # noqa: PLC0415 - as above

    try:
        if str(file) == "-":
            content = sys.stdin.buffer.read(_MOST_BYTES)
        else:
            with file.open("rb") as opened:
                content = opened.read(_MOST_BYTES)
        if content.lstrip().startswith(b"curl "):
            from proxy.commands.curl import parsed  # noqa: PLC0415 - as above

            return parsed(content.decode())
        return Reader(path=path).read(content)
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise Refused(f"{file}: {error}") from error


def _request(asked: Question, sent: list[Header]) -> Json:
    """As the API has it; what the request says of a header counts more than the options."""
    own = {name.lower() for name, _ in asked.headers}
    named = dict([*(pair for pair in sent if pair[0].lower() not in own), *asked.headers])
    body: object = None
    if asked.body:
        try:
            body = orjson.loads(asked.body)
        except ValueError:
            body = asked.body.decode(errors="surrogateescape")
        if not isinstance(body, dict):
            body = asked.body.decode(errors="replace")
    return {"method": asked.method, "path": asked.path, "headers": named, "body": body}


def explained(told: Said) -> Iterator[RenderableType]:
    """An explanation as it is shown."""
    outcome = text(told, "outcome")
    head = styled(f"{outcome or 'unknown'}: {text(told, 'reason')}", STYLES.get(outcome, "bold"))
    yield head
    for name in ("says", "advice"):
        if text(told, name):
            yield styled(f"  {text(told, name)}")
    facts = table("", "")
    facts.show_header = False
    for name, value in _facts(told):
        if value:
            facts.add_row(name, styled(value))
    yield facts
    if rows(told, "tiers"):
        made = table("tier", "answer", "#took", "#age", "#fresh for", "#size")
        for each in rows(told, "tiers"):
            made.add_row(
                styled(text(each, "tier")),
                styled(text(each, "answer"), STYLES.get(text(each, "answer"), "")),
                duration(number(each, "took_s")),
                duration(number(each, "entry", "age_s")),
                duration(number(each, "entry", "ttl_s")),
                size(number(each, "entry", "size_bytes")),
            )
        yield made
    yield from _meaning(part(told, "semantic"))


def _facts(told: Said) -> Iterator[tuple[str, str]]:
    for name in ("dialect", "model", "upstream"):
        yield name, text(told, name)
    scope, by = text(told, "scope"), text(told, "scope_by")
    yield "scope", f"{scope} (by {by})" if by else scope
    yield "key", text(told, "key")
    keyed = part(told, "keyed")
    for name, where in (
        ("headers that count", "headers"),
        ("members that count", "body"),
        ("headers left out", "left_out_headers"),
        ("members left out", "left_out_fields"),
    ):
        yield name, ", ".join(texts(keyed, where))
    yield "steered by", ", ".join(texts(told, "steering"))
    would_be = number(told, "ttl", "would_be_s")
    if would_be is not None:
        yield "would be kept for", f"{duration(would_be)}: {text(told, 'ttl', 'because')}"
    terms = part(told, "terms")
    yield (
        "terms",
        ", ".join(
            f"{name} {duration(value)}"
            for name in _TERMS
            if (value := number(terms, name)) is not None
        ),
    )
    rules = terms.get("rules")
    yield "rules", ", ".join(map(str, rules)) if isinstance(rules, list) else ""
    yield "in the air", "somebody asks this now" if flag(told, "flight", "in_progress") else ""


def _meaning(semantic: Said) -> Iterator[RenderableType]:
    if not semantic:
        return
    asked = "was asked" if flag(semantic, "asked") else "was not asked"
    doubt = text(semantic, "doubt")
    threshold = number(semantic, "threshold")
    at = "" if threshold is None else f", threshold {threshold:.4f}"
    yield styled(f"meaning {asked}{at}{': ' + doubt if doubt else ''}")
    if not rows(semantic, "neighbours"):
        return
    made = table("#score", "verdict", "doubt", "would serve", "question or key")
    for each in rows(semantic, "neighbours"):
        score = number(each, "score")
        made.add_row(
            "" if score is None else f"{score:.4f}",
            styled(text(each, "verdict")),
            styled(text(each, "doubt")),
            "yes" if flag(each, "would_serve") else "no",
            styled(text(each, "question") or text(each, "key")),
        )
    yield made


def _differences(told: Said, against: Path) -> Iterator[RenderableType]:
    other = part(told, "other")
    same = text(told, "request", "key") and text(told, "request", "key") == text(other, "key")
    verdict = "the same question" if same else "another question"
    yield styled(
        f"{against} is {verdict}: {text(other, 'outcome')}, {text(other, 'reason')}", "bold"
    )
    if not rows(told, "differences"):
        return
    made = table("where", "name", "here", "there", "matters", "")
    for each in rows(told, "differences"):
        made.add_row(
            styled(text(each, "where")),
            styled(text(each, "name")),
            styled(text(each, "one")),
            styled(text(each, "other")),
            styled("yes", "bold") if flag(each, "matters") else "no",
            styled(text(each, "says")),
        )
    yield made
