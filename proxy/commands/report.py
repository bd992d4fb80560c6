"""The command that makes a report of a running proxy, or of what was saved of one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import orjson

from proxy.commands.asking import Operator, asks_operator
from proxy.commands.refused import Refused
from proxy.model.errors import ConfigError

if TYPE_CHECKING:
    from proxy.reporting.making import Json, Report

_SPANS: Final = ("15m", "1h", "6h", "24h")
_MOST_BYTES: Final = 64 * 2**20  # of what was saved; a day's history is less than one of these MiB


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="The page to write.",
)
@click.option("--png", type=click.Path(path_type=Path), help="A folder for the charts as PNG, too.")
@click.option(
    "--span",
    type=click.Choice(_SPANS),
    default="24h",
    show_default=True,
    help="How far back the charts look.",
)
@click.option(
    "--save",
    type=click.Path(path_type=Path),
    help="Write what a report is made of (JSON), and no report.",
)
@click.option(
    "--from",
    "saved",
    type=click.Path(path_type=Path),
    help="Make it of such a file; no proxy is asked.",
)
@click.option("--json", "as_json", is_flag=True, help="Tell what was found as one JSON object.")
@asks_operator
def report(
    *,
    operator: Operator,
    out: Path,
    png: Path | None,
    span: str,
    save: Path | None,
    saved: Path | None,
    as_json: bool,
) -> None:
    """Write a report: what the cache did and saved, where the time goes, what to change.

    One page of HTML with charts, which needs nothing else to be read. Prompts, answers and
    credentials are in neither the page nor the file of --save; names of models and backends are.
    """
    if save is not None and saved is not None:
        raise Refused("--save writes what --from reads: give one of them")
    if save is not None:
        _write(save, orjson.dumps(_asked(operator, span), option=orjson.OPT_INDENT_2))
        click.echo(orjson.dumps({"saved": str(save)}) if as_json else f"saved {save}")
        return
    # Only now what takes long to import.
    from proxy.reporting.making import report as made  # noqa: PLC0415
    from proxy.reporting.told import Unreadable, read  # noqa: PLC0415

    try:
        told = read(_asked(operator, span) if saved is None else _loaded(saved))
        done = made(told)
    except Unreadable as error:
        raise Refused(f"{saved or operator.url} cannot be reported on: {error}") from error
    except ConfigError as error:
        raise Refused(str(error)) from error
    _write(out, done.html.encode())
    drawn = _drawn(done, png) if png is not None else []
    if as_json:
        click.echo(orjson.dumps(_told(done, out, drawn)))
    else:
        click.echo("\n".join(_lines(done, out, drawn)))


def _asked(operator: Operator, span: str) -> Json:
    from proxy.reporting.making import Unanswered, gather  # noqa: PLC0415 - as above

    def ask(path: str, query: Mapping[str, str]) -> Json:
        try:
            return operator.get(path, **query)
        except Refused as error:
            raise Unanswered(error.message) from error

    try:
        return gather(ask, span, datetime.now(UTC))
    except Unanswered as error:
        raise Refused(str(error)) from error


def _loaded(file: Path) -> Json:
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise Refused(f"{file}: too long to be what --save wrote")
        document = orjson.loads(file.read_bytes())
    except OSError as error:
        raise Refused(f"{file}: cannot be read: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise Refused(f"{file}: is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise Refused(f"{file}: is not what --save wrote")
    return document


def _drawn(done: Report, folder: Path) -> list[Path]:
    """The charts, each in a file of its own."""
    from proxy.reporting import drawing  # noqa: PLC0415 - as above

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"{folder}: cannot be made: {error.strerror}") from error
    files = []
    for chart in done.charts:
        files.append(folder / f"{chart.slug}.png")
        _write(files[-1], drawing.png(chart))
    return files


def _write(path: Path, content: bytes) -> None:
    """Put ``content`` in place at once, so that a report that is looked at is never half a one."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Refused(f"{path}: cannot be written: {error.strerror}") from error


def _lines(done: Report, out: Path, drawn: list[Path]) -> list[str]:
    """What was found, for people."""
    lines = [f"{each.weight.word:7} {each.title}" for each in done.found]
    lines += [""] if lines else ["nothing that a setting would change", ""]
    lines.append(
        f"wrote {out}" + (f" and {len(drawn)} charts in {drawn[0].parent}" if drawn else "")
    )
    return lines


def _told(done: Report, out: Path, drawn: list[Path]) -> Json:
    """What was found, for programs."""
    return {
        "report": str(out),
        "charts": [str(each) for each in drawn],
        "findings": [
            {
                "weight": each.weight.word, "title": each.title, "why": each.why,
                "advice": each.advice, "settings": list(each.settings),
            }
            for each in done.found
        ],
    }  # fmt: skip
