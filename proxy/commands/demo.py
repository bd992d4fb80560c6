"""The command that shows what the proxy does, and can be a backend to try it on."""

from __future__ import annotations

import click

from proxy.commands.rooms import Rooms


def _place(text: str) -> tuple[str, int]:
    """The host and the port of ``HOST:PORT``. Raises BadParameter."""
    host, _, port = text.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and int(port) < 2**16):
        raise click.BadParameter(f"{text!r} must be HOST:PORT, as 127.0.0.1:8000")
    return host.removeprefix("[").removesuffix("]"), int(port)


@click.command()
@click.option(
    "--backend",
    type=_place,
    metavar="HOST:PORT",
    help="Be the made-up backend, there, until told to stop. It is for trying things out only.",
)
@click.pass_context
def demo(context: click.Context, *, backend: tuple[str, int] | None) -> None:
    """Show what the proxy does, with a backend of its own."""
    rooms: Rooms = context.obj
    context.exit(rooms.tour() if backend is None else rooms.backend(*backend))
