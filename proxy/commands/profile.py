"""The command that looks what a running proxy spends its time on."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from proxy.commands.asking import Operator, asks_operator
from proxy.commands.refused import Refused


@click.command()
@click.option(
    "--seconds", type=click.FloatRange(0.5, 60), default=5.0, show_default=True, help="How long."
)
@click.option(
    "--hz", type=click.IntRange(1, 500), default=100, show_default=True, help="How often a second."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["svg", "folded", "json"]),
    default="svg",
    show_default=True,
    help="A flame graph, a line for each stack, or what speedscope reads.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="Where to; - is standard output.  [default: profile.FORMAT]",
)
@asks_operator
def profile(operator: Operator, seconds: float, hz: int, form: str, out: Path | None) -> None:
    """Look what the running proxy spends its time on."""
    where = out or Path(f"profile.{form}")
    operator = operator.waiting(seconds + 30)
    with operator.opened("GET", f"/profile?seconds={seconds:g}&hz={hz}&format={form}") as response:
        image = response.read()
    if str(where) == "-":
        sys.stdout.buffer.write(image)
        return
    try:
        where.write_bytes(image)
    except OSError as error:
        raise Refused(f"{where}: cannot be written: {error.strerror}") from error
    click.echo(f"{where}: {len(image)} bytes")
