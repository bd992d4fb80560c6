"""The command that asks a proxy on this machine whether it is well; for whoever restarts it.

A container's health check starts it every few seconds, so it imports next to nothing, and does not
load the settings: all it must know of them is where the operator's listener is.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import click

_DEFAULT: Final = "127.0.0.1:8081"
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound to it here
_MOST_BYTES: Final = 4096  # of the answer; all that counts is its first line
_OK: Final = 200


class Place(NamedTuple):
    """Where it listens, and by whose word."""

    host: str
    port: int
    source: str


@click.command()
@click.option("--ready", is_flag=True, help="Whether it takes requests, not whether it lives.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, 60, min_open=True),
    default=2.0,
    show_default=True,
    help="Seconds until no answer is a bad one.",
)
@click.option(
    "--admin-url",
    metavar="URL",
    envvar="SIDECACHE_ADMIN_URL",
    help="The proxy's admin listener.  [default: as SIDECACHE_ADMIN__LISTEN or the file in"
    " SIDECACHE_CONFIG say]",
)
@click.pass_context
def health(context: click.Context, *, ready: bool, timeout_s: float, admin_url: str | None) -> None:
    """Ask a running proxy whether it is well: status 0, or else 1."""
    place = place_of(admin_url, os.environ)
    path = "/readyz" if ready else "/healthz"
    if place is None:
        click.echo("the admin listener must be http://HOST:PORT", err=True)
        context.exit(1)
    try:
        status = _status(place, path, timeout_s)
    except (OSError, ValueError) as error:
        why = str(error) or type(error).__name__
        click.echo(f"no answer at {place.host}:{place.port} ({place.source}): {why}", err=True)
        context.exit(1)
    click.echo(f"{path} {status}")
    context.exit(0 if status == _OK else 1)


def _status(place: Place, path: str, timeout_s: float) -> int:
    """The status of the answer to a GET. Raises OSError, ValueError if it is no HTTP."""
    host = f"[{place.host}]" if ":" in place.host else place.host
    ask = f"GET {path} HTTP/1.1\r\nHost: {host}:{place.port}\r\nConnection: close\r\n\r\n"
    with socket.create_connection((place.host, place.port), timeout_s) as connection:
        connection.sendall(ask.encode("ascii"))
        told = b""
        while b"\r\n" not in told and len(told) < _MOST_BYTES:
            piece = connection.recv(_MOST_BYTES)
            if not piece:
                break
            told += piece
    protocol, _, rest = told.partition(b" ")
    if not protocol.startswith(b"HTTP/1."):
        raise ValueError("it does not speak HTTP")
    return int(rest[:3])


def place_of(admin_url: str | None, environ: Mapping[str, str]) -> Place | None:
    """Where to ask; None if ``admin_url`` cannot be understood.

    As the settings are read: the environment counts before the file, and both before the default.
    What cannot be read there has been refused, or will be, by who serves.
    """
    if admin_url:
        given = admin_url.removeprefix("http://").rstrip("/")
        return _read(given, "as told") if admin_url.startswith("http://") else None
    listen, file = environ.get("SIDECACHE_ADMIN__LISTEN"), environ.get("SIDECACHE_CONFIG")
    return (
        _read(listen, "SIDECACHE_ADMIN__LISTEN")
        or (_read(_in_file(Path(file)), file) if file else None)
        or _read(_DEFAULT, "by default")
    )


def _read(listen: str | None, source: str) -> Place | None:
    host, _, port = (listen or "").rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (host and port.isascii() and port.isdigit()):
        return None
    return Place(_ANY.get(host, host), int(port), source)


def _in_file(file: Path) -> str | None:
    """What the file says of ``admin.listen``, if anything."""
    import yaml  # noqa: PLC0415 - as long to import as all else here; most have no file

    tree: object = None
    with suppress(OSError, ValueError, yaml.YAMLError):
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".toml":
            import tomllib  # noqa: PLC0415 - as above

            tree = tomllib.loads(text)
        else:
            tree = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - safe
    for name in ("admin", "listen"):
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree if isinstance(tree, str) else None
