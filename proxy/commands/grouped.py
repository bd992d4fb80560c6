"""The list of commands, in groups: what belongs together stands together.

A command's module is imported when that command is called, or its own help is wanted. The list
itself, and what a shell completes, need none: they tell what stands here of each.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Final, NamedTuple

import click
from click.shell_completion import CompletionItem


class Listed(NamedTuple):
    """A command in the list."""

    name: str
    place: str  # module:attribute
    does: str  # the first sentence of its help


class Titled(NamedTuple):
    """Commands that belong together."""

    title: str
    commands: tuple[Listed, ...]


class Grouped(click.Group):
    """A group of commands that are listed in groups, and imported when they are called.

    Args:
        groups: the commands.
        name: of the whole.
    """

    def __init__(self, groups: Iterable[Titled], *, name: str, help: str) -> None:  # noqa: A002 - click's word
        super().__init__(name, help=help, context_settings={"help_option_names": ["-h", "--help"]})
        self._groups: Final = tuple(groups)
        self.listed: Final = {each.name: each for group in groups for each in group.commands}

    def list_commands(self, _context: click.Context) -> list[str]:
        """The names of all, in the order of the list."""
        return list(self.listed)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """The command ``name``, imported; None if there is none."""
        listed = self.listed.get(name)
        if listed is None:
            return None
        module, _, attribute = listed.place.partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command), listed.place  # noqa: S101 - a test looks
        return command

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write them."""
        for title, commands in self._groups:
            with formatter.section(title):
                formatter.write_dl([(each.name, each.does) for each in commands])

    def shell_complete(self, context: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands that begin so, and options."""
        commands = [
            CompletionItem(each.name, help=each.does)
            for each in self.listed.values()
            if each.name.startswith(incomplete)
        ]
        return [*commands, *click.Command.shell_complete(self, context, incomplete)]
