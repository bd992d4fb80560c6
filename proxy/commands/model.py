"""The commands about models: make a folder of one, and look at one before it is used."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from proxy.commands.refused import Refused
from proxy.model.errors import ConfigError
from proxy.model.meaning import Script
from proxy.semantic.base import Embedder, EmbedderError

if TYPE_CHECKING:
    from proxy.semantic.embedders import examine
    from proxy.semantic.embedders.examine import Pair

_STATUS: Final = Path("/proc/self/status")


@click.group()
def model() -> None:
    """Make and try the models that tell which questions mean the same."""


@model.command()
@click.argument("name", metavar="MODEL")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--int8/--fp32",
    default=True,
    show_default=True,
    help="Half the time and a third of the memory, or exactly the model's own similarities.",
)
@click.option("--prefix", help="What the model wants before each text.  [default: as it says]")
def export(*, name: str, folder: Path, int8: bool, prefix: str | None) -> None:
    """Make of MODEL a FOLDER that needs neither torch nor a hub to be used.

    MODEL is a folder or a name that sentence-transformers can load.
    """
    # The extras' packages take seconds to import: only when they are needed.
    try:
        _needs("export", "numpy")
        from proxy.semantic.embedders import export as exporting  # noqa: PLC0415

        precision = exporting.Precision.INT8 if int8 else exporting.Precision.FP32
        difference = exporting.export(name, folder, precision, prefix=prefix)
    except (ConfigError, EmbedderError) as error:
        raise Refused(str(error)) from error
    size = sum(path.stat().st_size for path in folder.iterdir())
    click.echo(f"made {folder}, {size / 1e6:.0f} MB, {precision}")
    click.echo(
        f"compared with the original: similarities differ by {difference.mean_shift:.4f} on average"
        f" and {difference.most_shift:.4f} at most; a text's two vectors have a cosine of at least"
        f" {difference.least_self:.4f}"
    )
    click.echo(f"try it: sidecache model check {folder}")


@model.command()
@click.argument("name", metavar="MODEL")
@click.option(
    "--pairs",
    type=click.Path(path_type=Path),
    help='Questions of yours, to suggest a threshold: a line each {"a": ..., "b": ..., "label": 1},'
    " 1 where the answer to one is right for the other, else 0.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    default=0.90,
    show_default=True,
    help="The similarity from which on an answer is served.",
)
@click.option(
    "--most-wrong",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.02,
    show_default=True,
    help="The share of wrong answers that a suggested threshold may serve.",
)
@click.pass_context
def check(
    context: click.Context,
    *,
    name: str,
    pairs: Path | None,
    threshold: float,
    most_wrong: float,
) -> None:
    """Show what MODEL is good for, and what it costs.

    MODEL is a folder made by export, or what sentence-transformers can load: a folder or a name.
    """
    try:
        _needs("vectors", "numpy")
        from proxy.semantic.embedders.examine import read_pairs  # noqa: PLC0415 - as above

        labelled = read_pairs(pairs) if pairs else []
        usable = asyncio.run(_check(_embedder(name), labelled, threshold, most_wrong))
    except (ConfigError, EmbedderError) as error:
        raise Refused(str(error)) from error
    context.exit(0 if usable else 1)


def _needs(extra: str, package: str) -> None:
    from proxy.semantic.embedders.weights import require  # noqa: PLC0415 - as above

    require(extra, package)


def _embedder(name: str) -> Embedder:
    """The one for what is in the folder, or for the name."""
    if Path(name, "model.onnx").is_file():
        from proxy.semantic.embedders.onnx import OnnxEmbedder  # noqa: PLC0415 - as above

        return OnnxEmbedder(Path(name))
    from proxy.semantic.embedders.sentence import SentenceEmbedder  # noqa: PLC0415 - as above

    return SentenceEmbedder(name)


async def _check(
    embedder: Embedder, pairs: list[Pair], threshold: float, most_wrong: float
) -> bool:
    """Tell all about ``embedder``; whether it is usable in any script."""
    from proxy.semantic.embedders import examine  # noqa: PLC0415 - as above

    clock = time.perf_counter
    begun = clock()
    try:
        await embedder.start()
        loading_s = clock() - begun
        fast = await examine.speed(embedder, clock)
        click.echo(f"model        {embedder.name}")
        click.echo(f"fingerprint  {embedder.fingerprint}")
        click.echo(f"vectors      {embedder.dimensions} numbers")
        click.echo(f"loading      {loading_s:.1f} s, {_memory()}")
        click.echo(f"one text     {fast.one_ms:.1f} ms")
        click.echo(f"32 texts     {fast.batch_ms:.1f} ms, {fast.batch_ms / 32:.1f} ms each")
        verdicts = {
            script: await examine.judge(embedder, script, threshold)
            for script in (Script.LATIN, Script.HAN)
        }
        for script, verdict in verdicts.items():
            click.echo(
                f"{script:<12} {'usable' if verdict.usable else 'NOT usable'}: {verdict.why}"
            )
        if pairs:
            found = await examine.scores(embedder, pairs)
            scored = [(score, pair.equal) for score, pair in zip(found, pairs, strict=True)]
            now = examine.outcome(threshold, scored)
            click.echo(f"pairs        {len(pairs)}, by similarity alone; vetoes come on top")
            click.echo(f"at {threshold:.2f}      {_told(now)}")
            better = examine.suggest(scored, most_wrong)
            if better is None:
                click.echo(
                    f"suggested    none: these pairs do not show of any threshold that at most"
                    f" {most_wrong:.1%} would be wrong; it takes at least 40 that are served"
                )
            else:
                click.echo(f"suggested    {better.threshold:.2f}: {_told(better)}")
    finally:
        await embedder.close()
    return any(verdict.usable for verdict in verdicts.values())


def _told(found: examine.Suggestion) -> str:
    return (
        f"{found.served} served, {found.wrong} of them wrong (at most {found.most_wrong:.1%} with"
        " 95 % confidence)"
    )


def _memory() -> str:
    """How much memory this process takes, in words."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return "memory unknown on this system"
    resident = next(line for line in lines if line.startswith("VmRSS:"))
    return f"{int(resident.split()[1]) / 1024:.0f} MB of memory in all"
