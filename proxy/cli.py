"""The command line: reads what was asked, loads the settings, and hands over. Thin."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Protocol, TypedDict, Unpack

import click

from proxy.commands.bench import bench
from proxy.commands.calibrate import calibrate
from proxy.commands.carry import export, import_
from proxy.commands.explain import explain
from proxy.commands.grouped import Grouped
from proxy.commands.model import model
from proxy.commands.profile import profile
from proxy.commands.purge import purge
from proxy.commands.refused import Refused
from proxy.commands.report import report
from proxy.commands.stats import stats
from proxy.commands.top import top
from proxy.commands.tune import tune
from proxy.commands.warm import warm
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


class Serve(Protocol):
    """Serves until told to stop; returns the exit status."""

    def __call__(self, loaded: Loaded, source: Origin, *, demo: bool = False) -> int: ...


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the commands open; imported when asked for, so that the others start at once."""

    serve: Serve
    tour: Callable[[], int]


def main() -> None:
    """Run the command line."""
    cli(prog_name="sidecache", obj=Rooms(_serve, _tour))


def _serve(loaded: Loaded, source: Origin, *, demo: bool = False) -> int:
    if demo:
        from proxy.demo import serving  # noqa: PLC0415 - the whole proxy

        return serving.serve(source)
    from proxy import app  # noqa: PLC0415 - as above

    return app.serve(loaded, source)


def _tour() -> int:
    from proxy.demo import guide  # noqa: PLC0415 - as above

    return guide.tour()


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


@click.group(cls=Grouped, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """A caching reverse proxy that stands beside any LLM or RAG backend."""


for _command in (
    stats, top, explain, report, profile, purge, warm, export, import_, tune, calibrate, bench,
    model,
):  # fmt: skip
    cli.add_command(_command)


@cli.command()
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


@cli.command()
@_choosing_settings
def check(**flags: Unpack[_Flags]) -> None:
    """Show the settings in force and where they come from; or all that is wrong with them."""
    loaded = _load(_source(flags))
    click.echo(render.effective(loaded), nl=False)
    if not loaded.settings.upstreams:
        click.echo("Warning: upstreams is empty; to serve, there must be one", err=True)


@cli.command()
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


@cli.command()
@click.pass_context
def demo(context: click.Context) -> None:
    """Show what the proxy does, with a backend of its own."""
    rooms: Rooms = context.obj
    context.exit(rooms.tour())


@cli.command("version")
def show_version() -> None:
    """Show the version."""
    try:
        number = version("sidecache")
    except PackageNotFoundError:
        number = "unknown (not installed)"
    click.echo(f"sidecache {number}, Python {platform.python_version()}")
