"""The command that tells a shell how to complete the others."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

VARIABLE: Final = "_SIDECACHE_COMPLETE"  # click's own name for it
_SHELLS: Final = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands and options.

    \b
    bash   eval "$(sidecache completion bash)"       in ~/.bashrc
    zsh    eval "$(sidecache completion zsh)"        in ~/.zshrc, after compinit
    fish   sidecache completion fish | source        in ~/.config/fish/config.fish
    """  # noqa: D301 - click's sign for lines that stay as they are
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click has all three
    click.echo(kind(context.find_root().command, {}, "sidecache", VARIABLE).source())
