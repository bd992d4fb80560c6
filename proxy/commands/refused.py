"""How a command says that it cannot do what was asked."""

from __future__ import annotations

import click


class Refused(click.ClickException):
    """The operator's mistake: told in one message, without a traceback."""

    exit_code = 2
