"""The command that tells the version: that of the package that is installed."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

import click


@click.command("version")
def version() -> None:
    """Show the version."""
    try:
        number = installed("sidecache")
    except PackageNotFoundError:
        number = "unknown (not installed)"
    click.echo(f"sidecache {number}, Python {platform.python_version()}")
