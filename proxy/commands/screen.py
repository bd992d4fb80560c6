"""What commands show: for people by rich, plain where nobody watches, and JSON for programs.

What comes from a proxy was in part said by its clients, a model's name or a path: it is shown
without markup and without control characters, which a terminal would obey.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import click
import orjson

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_PLAIN_WIDTH: Final = 160  # of a table in a file or a pipe, where no window says how wide

json_option: Callable[[Callable[..., None]], Callable[..., None]] = click.option(
    "--json", "as_json", is_flag=True, help="Tell it as one JSON object."
)


def tell(document: Mapping[str, object]) -> None:
    """Write ``document`` to standard output, as one line of JSON."""
    click.echo(orjson.dumps(document))


def console(*, err: bool = False) -> Console:
    """Where to draw: standard output, or what goes beside it. Obeys NO_COLOR."""
    from rich.console import Console  # noqa: PLC0415 - only when something is drawn

    stream = sys.stderr if err else sys.stdout
    width = None if stream.isatty() else _PLAIN_WIDTH
    return Console(stderr=err, width=width, highlight=False, markup=False, emoji=False)


def table(*columns: str, title: str = "") -> Table:
    """An empty table; columns whose names begin with ``#`` are of numbers."""
    from rich import box  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415 - as above

    made = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False)
    for name in columns:
        if name.startswith("#"):
            made.add_column(name[1:], justify="right", no_wrap=True)
        else:
            made.add_column(name, overflow="fold")
    return made


def styled(text: str, style: str = "") -> Text:
    """``text``, clean, in a style."""
    from rich.text import Text  # noqa: PLC0415 - as above

    return Text(clean(text), style)


def clean(text: str) -> str:
    """``text`` with everything that is no letter, mark or blank written out."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )
