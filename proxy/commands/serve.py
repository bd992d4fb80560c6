"""The commands about settings: serve with them, check them, and show which there are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypedDict, Unpack

import click

from proxy.commands.refused import Refused
from proxy.commands.rooms import Rooms
from proxy.config import render
from proxy.config.environment import CONFIG_FILE, UPSTREAM
from proxy.config.faults import Given
from proxy.config.load import Loaded, Origin
from proxy.model.errors import ConfigError

_NO_UPSTREAM: Final = f"""\
there is no backend to serve. Name one, in any of these ways:
  sidecache serve --upstream http://127.0.0.1:8000
  {UPSTREAM}=http://127.0.0.1:8000 sidecache serve
  sidecache serve --config sidecache.yaml     (upstreams: [{{url: http://127.0.0.1:8000}}])
Or try it without one: sidecache serve --demo"""


class _Flags(TypedDict):
    """What the options that choose settings bring."""

    config: Path | None
    upstream: str | None
    listen: str | None
    admin: str | None
    log_format: str | None
    no_disk: bool
    redis: str | None


_CHOOSING: Final = (
    click.option("--log-format", metavar="json|text", help="How log lines look."),
    click.option("--no-disk", is_flag=True, help="Keep nothing on disk."),
    click.option("--redis", metavar="URL", help="Share entries with other replicas through Redis."),
    click.option("--admin", metavar="HOST:PORT", help="Where the operator comes in."),
    click.option("--listen", metavar="HOST:PORT", help="Where clients come in."),
    click.option("--upstream", metavar="URL", help="The backend, for all paths."),
    click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path),
        envvar=CONFIG_FILE,
        show_envvar=True,
        help="The file of settings, YAML or TOML.",
    ),
)


def _choosing_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give ``command`` the options that choose settings; ``_load`` takes what they bring."""
    for option in _CHOOSING:
        command = option(command)
    return command


def _source(flags: _Flags) -> Origin:
    """Where the settings come from."""
    upstream = flags["upstream"]
    given = (
        Given(("upstreams",), [{"url": upstream}] if upstream else None, "--upstream"),
        Given(("listen",), flags["listen"], "--listen"),
        Given(("admin", "listen"), flags["admin"], "--admin"),
        Given(("log", "format"), flags["log_format"], "--log-format"),
        Given(("l2_disk", "enabled"), False if flags["no_disk"] else None, "--no-disk"),
        Given(("l2_redis", "url"), flags["redis"], "--redis"),
    )
    chosen = tuple(flag for flag in given if flag.value is not None)
    return Origin(flags["config"], os.environ, chosen)


def _load(source: Origin) -> Loaded:
    """The settings; tells of what is amiss, and leaves if that forbids going on."""
    try:
        loaded = source.load()
    except ConfigError as error:
        raise Refused(str(error)) from error
    for warning in loaded.warnings:
        click.echo(f"Warning: {warning}", err=True)
    return loaded


@click.command()
@_choosing_settings
@click.option("--demo", is_flag=True, help="Serve in front of a built-in backend.")
@click.pass_context
def serve(context: click.Context, *, demo: bool, **flags: Unpack[_Flags]) -> None:
    """Serve, until told to stop."""
    source = _source(flags)
    loaded = _load(source)
    if not loaded.settings.upstreams and not demo:
        raise Refused(_NO_UPSTREAM)
    rooms: Rooms = context.obj
    try:
        status = rooms.serve(loaded, source, demo=demo)
    except ConfigError as error:
        raise Refused(str(error)) from error
    context.exit(status)


@click.command()
@_choosing_settings
def check(**flags: Unpack[_Flags]) -> None:
    """Show the settings in force and where they come from; or all that is wrong with them."""
    loaded = _load(_source(flags))
    click.echo(render.effective(loaded), nl=False)
    if not loaded.settings.upstreams:
        click.echo("Warning: upstreams is empty; to serve, there must be one", err=True)


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "yaml", "markdown"]),
    default="json",
    show_default=True,
    help="A JSON schema for editors, a file of all defaults, or a page to read.",
)
def schema(form: str) -> None:
    """Show all settings there are."""
    forms = {"json": render.schema, "yaml": render.example, "markdown": render.reference}
    click.echo(forms[form](), nl=False)
