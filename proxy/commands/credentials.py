"""The headers that a command asks with, as clients do: from options, a file, or the environment."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import click

from proxy.commands.refused import Refused

Header = tuple[str, str]


def asks_as_client(command: Callable[..., None]) -> Callable[..., None]:
    """Give ``command`` the options that say as whom it asks; ``headers`` takes what they bring."""
    for option in (
        click.option(
            "--api-key-env",
            metavar="NAME",
            help="The environment variable whose key goes into Authorization, as OPENAI_API_KEY.",
        ),
        click.option(
            "--header-file",
            type=click.Path(path_type=Path),
            help="A file with a header in each line, as for --header.",
        ),
        click.option(
            "-H",
            "--header",
            multiple=True,
            metavar="'NAME: VALUE'",
            help="Sent with each question. Others on this machine can read it: no secrets here.",
        ),
    ):
        command = option(command)
    return command


def headers(given: tuple[str, ...], file: Path | None, key_variable: str | None) -> list[Header]:
    """What they say. Raises Refused, without saying what was in them."""
    told = [_header(line, "--header") for line in given]
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"--header-file {file}: it cannot be read as text") from error
        told += [
            _header(line, f"{file}, line {number}")
            for number, line in enumerate(lines, 1)
            if line.strip() and not line.startswith("#")
        ]
    if key_variable is not None:
        key = os.environ.get(key_variable, "")
        if not key:
            raise Refused(f"--api-key-env {key_variable}: there is nothing in that variable")
        told.append(_checked("Authorization", f"Bearer {key}", key_variable))
    return told


def _header(line: str, where: str) -> Header:
    name, colon, value = line.partition(":")
    if not colon:
        raise Refused(f"{where}: give a header as 'Name: value'")
    return _checked(name.strip(), value.strip(), where)


def _checked(name: str, value: str, where: str) -> Header:
    token = name.replace("-", "").replace("_", "").isalnum() and name.isascii()
    if not token or not value.replace("\t", "").isprintable():
        raise Refused(f"{where}: that is no header that can be sent")
    return name, value
