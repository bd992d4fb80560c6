"""The command that lets answers be served no more."""

from __future__ import annotations

import sys
from typing import Final

import click

from proxy.commands.asking import Json, Operator, asks_operator
from proxy.commands.refused import Refused
from proxy.commands.said import flag, number, rows, text
from proxy.commands.screen import clean, json_option, tell
from proxy.figures import duration

_KINDS: Final = ("key", "tag", "model", "dialect", "scope", "path")
_AT_ONCE: Final = 1000  # values that a purge takes


@click.command()
@click.option("--all", "everything", is_flag=True, help="All answers.")
@click.option("--path", multiple=True, metavar="PATH", help="To questions at paths that begin so.")
@click.option("--scope", multiple=True, help="Of one caller, or of those who share a scope.")
@click.option("--dialect", multiple=True, help="In one protocol, as openai_chat.")
@click.option("--model", multiple=True, help="To questions that named this model.")
@click.option("--tag", multiple=True, help="With this tag, to the letter.")
@click.option("--key", multiple=True, metavar="DIGEST", help="To one question of one caller.")
@click.option("--soft", is_flag=True, help="Let them turn stale rather than go.")
@click.option("--yes", is_flag=True, help="Do not ask whether --all is meant.")
@json_option
@asks_operator
@click.pass_context
def purge(
    context: click.Context,
    /,
    *,
    operator: Operator,
    everything: bool,
    soft: bool,
    yes: bool,
    as_json: bool,
    **chosen: tuple[str, ...],
) -> None:
    """Let stored answers be served no more, on every replica.

    Options may be repeated and mixed: what any of them names is purged. Ends with 0 once every
    replica obeys, with 1 if some have not said so yet.
    """
    wanted: list[Json] = [
        {"kind": kind, "values": list(chosen[kind][at : at + _AT_ONCE])}
        for kind in _KINDS
        for at in range(0, len(chosen[kind]), _AT_ONCE)
    ]
    if everything:
        if wanted:
            raise Refused("--all leaves nothing for the other options to purge")
        wanted = [{"kind": "all"}]
        asks = sys.stdin.isatty() and not yes
        if asks and not click.confirm(f"Purge all that {operator.url} has stored?", err=True):
            raise Refused("nothing was purged")
    if not wanted:
        raise Refused("purge what? Say so by --key, --tag, --model, --scope, --path ... or --all")
    told = [operator.post("/purge", {**each, "soft": soft}) for each in wanted]
    last = told[-1]
    complete = all(flag(each, "complete") for each in told)
    if as_json:
        tell({**last, "complete": complete, "purges": told})
    else:
        click.echo("\n".join(_lines(told, complete=complete)))
    context.exit(0 if complete else 1)


def _lines(told: list[Json], *, complete: bool) -> list[str]:
    """What became of it, for people."""
    if complete:
        return ["purged: every replica obeys"]
    lines = ["purged here; not everybody has said that they obey:"]
    for each in told:
        lines += [
            f"  {clean(text(one, 'replica'))}, silent for {duration(number(one, 'silent_s'))}"
            for one in rows(each, "absent")
        ]
        if text(each, "trouble"):
            lines.append(f"  {clean(text(each, 'trouble'))}")
    return [*dict.fromkeys(lines), "call again until it is complete, if it must hold everywhere"]
