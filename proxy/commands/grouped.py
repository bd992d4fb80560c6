"""The list of commands, in groups: what belongs together stands together."""

from __future__ import annotations

from typing import Final

import click

_GROUPS: Final = (
    ("Serve", ("serve", "demo", "check", "schema", "version")),
    ("See what a running proxy does", ("stats", "top", "explain", "report", "profile")),
    ("Change what it holds", ("purge", "warm", "export", "import")),
    ("Measure and fit", ("bench", "tune", "calibrate", "model")),
)
_LONGEST: Final = 200  # characters of a line of help, before it is cut


class Grouped(click.Group):
    """A group whose help lists the commands in groups."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write them."""
        listed = {name for _, names in _GROUPS for name in names}
        rest = tuple(name for name in self.list_commands(ctx) if name not in listed)
        for title, names in (*_GROUPS, ("More", rest)):
            rows = [
                (name, command.get_short_help_str(_LONGEST))
                for name in names
                if (command := self.get_command(ctx, name)) is not None and not command.hidden
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
