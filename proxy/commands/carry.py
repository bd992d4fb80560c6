"""The commands that carry entries: out of a running proxy into a file, and into another."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import click

from proxy.commands.asking import Json, Operator, asks_operator
from proxy.commands.refused import Refused
from proxy.commands.said import number
from proxy.commands.screen import console, json_option, tell
from proxy.figures import size

if TYPE_CHECKING:
    from proxy.carrying.parcel import Heading

_PIECE: Final = 256 * 1024  # bytes read at once
_BATCH: Final = 4 * 2**20  # bytes of entries that are sent at once
_LEVEL: Final = 6  # of zstd
_WINDOW: Final = 2**27  # bytes that a file may make whoever opens it hold
_ZSTD: Final = b"\x28\xb5\x2f\xfd"  # RFC 8878, section 3.1.1
_WAIT_S: Final = 300.0  # for an answer to a batch: where a disk is slow
_SHOWN: Final = {
    "taken": "are stored now",
    "older": "were there already, or newer ones",
    "purged": "were purged since, or may have been",
    "expired": "were past their time",
    "declined": "were taken by no tier: they are too large, mostly",
    "unreadable": "are damaged, of another release, or encrypted with a key not known there",
}


@click.command("export")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--tier", help="Only what one tier holds, as l2_disk.  [default: all]")
@json_option
@asks_operator
def export(*, operator: Operator, file: Path, tier: str | None, as_json: bool) -> None:
    """Write all stored answers to FILE, for another proxy to import.

    The proxy must allow it (admin.allow_export), and both must have the same cache.scope.secret.
    FILE holds answers: keep it as you would keep those. - writes to standard output.
    """
    from proxy.carrying.parcel import Unpacking, Unreadable  # noqa: PLC0415 - when it is needed

    unpacking = Unpacking()
    before = 0
    try:
        with operator.opened("GET", _export_path(tier)) as response, _written(file) as out:
            while piece := operator.read(lambda: response.read1(_PIECE)):
                unpacking.feed(piece)  # to see that it is whole
                before += len(piece)
                out.write(piece)
            unpacking.end()
    except Unreadable as error:
        raise Refused(f"what {operator.url} sent cannot be used: {error}") from error
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}") from error
    to_stdout = str(file) == "-"
    after = None if to_stdout else file.stat().st_size
    document: Json = {"entries": unpacking.count, "bytes": before, "file_bytes": after}
    if as_json:
        click.echo(_line(document), err=to_stdout)
    else:
        said = f"exported {unpacking.count:,} entries, {size(before)}"
        click.echo(said + ("" if after is None else f", in {size(after)}"), err=to_stdout)


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--vouch",
    is_flag=True,
    help="Nothing in FILE was purged since it was made; needed where the proxy cannot know.",
)
@json_option
@asks_operator
@click.pass_context
def import_(
    context: click.Context, /, *, operator: Operator, file: Path, vouch: bool, as_json: bool
) -> None:
    """Store the answers in FILE, each for as long as it had left.

    The proxy must allow it (admin.allow_import), and have the cache.scope.secret of the one that
    FILE was exported from. Nothing newer is replaced, and nothing comes back that was purged.
    Ends with 1 if some could not be read.
    """
    from proxy.carrying.parcel import MEDIA_TYPE, Unreadable  # noqa: PLC0415 - when it is needed

    total: dict[str, int] = dict.fromkeys(_SHOWN, 0)
    operator = operator.waiting(_WAIT_S)
    try:
        with ExitStack() as held:
            if str(file) == "-":
                from proxy.warming.source import spooled  # noqa: PLC0415 - as above

                file = held.enter_context(spooled(sys.stdin.buffer))
            # Seen whole before any of it is sent.
            entries = sum(len(batch) for _, batch in _batches(file))
            bar = held.enter_context(_bar(entries, shown=sys.stderr.isatty() and not as_json))
            for heading, batch in _batches(file):
                told = operator.send(
                    "/import", _parcel(heading, batch), MEDIA_TYPE, vouched=vouch or None
                )
                for name in total:
                    total[name] += int(number(told, name) or 0)
                bar(len(batch))
    except Unreadable as error:
        raise Refused(f"{file}: {error}") from error
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}") from error
    if as_json:
        tell({"entries": entries, **total})
    else:
        click.echo(f"{entries:,} entries:")
        for name, count in total.items():
            if count:
                click.echo(f"  {count:,} {_SHOWN[name]}")
    context.exit(1 if total["unreadable"] else 0)


def _line(document: Json) -> bytes:
    import orjson  # noqa: PLC0415 - when it is needed

    return orjson.dumps(document)


def _export_path(tier: str | None) -> str:
    from proxy.commands.asking import with_query  # noqa: PLC0415 - as above

    return with_query("/export", {"tier": tier})


@contextmanager
def _written(file: Path) -> Iterator[IO[bytes]]:
    """Where to write; what does not come to its end well leaves no file behind."""
    import zstandard  # noqa: PLC0415 - as above

    compressor = zstandard.ZstdCompressor(level=_LEVEL)
    if str(file) == "-":
        with compressor.stream_writer(sys.stdout.buffer, closefd=False) as out:
            yield out
        return
    # mkstemp: for its owner only.
    handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    fresh = Path(name)
    try:
        with os.fdopen(handle, "wb") as raw:
            with compressor.stream_writer(raw, closefd=False) as out:
                yield out
            raw.flush()
            os.fsync(raw.fileno())
        fresh.replace(file)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _batches(file: Path) -> Iterator[tuple[Heading, list[bytes]]]:
    """The entries in ``file``, some at a time; at least one batch. Raises Unreadable, OSError."""
    from proxy.carrying.parcel import Unpacking, Unreadable  # noqa: PLC0415 - as above

    unpacking = Unpacking()
    batch: list[bytes] = []
    held = 0
    sent = False
    for piece in _pieces(file):
        for envelope in unpacking.feed(piece):
            batch.append(envelope)
            held += len(envelope)
            if held >= _BATCH and unpacking.heading is not None:
                yield unpacking.heading, batch
                batch, held, sent = [], 0, True
    unpacking.end()
    if unpacking.heading is None:
        raise Unreadable("it holds no entries of sidecache")
    if batch or not sent:
        yield unpacking.heading, batch


def _pieces(file: Path) -> Iterator[bytes]:
    """What is in ``file``, decompressed. Raises Unreadable, OSError."""
    import zstandard  # noqa: PLC0415 - as above

    from proxy.carrying.parcel import Unreadable  # noqa: PLC0415 - as above

    with file.open("rb") as raw:
        begins = raw.read(len(_ZSTD))
        raw.seek(0)
        if begins != _ZSTD:
            while piece := raw.read(_PIECE):
                yield piece
            return
        opened = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(raw)
        try:
            while piece := opened.read(_PIECE):
                yield piece
        except zstandard.ZstdError as error:
            raise Unreadable("it is damaged") from error


def _parcel(heading: Heading, batch: Iterable[bytes]) -> Iterator[bytes]:
    """A parcel of its own."""
    from proxy.carrying.parcel import Packing  # noqa: PLC0415 - as above

    packing = Packing()
    yield packing.heading(heading)
    for envelope in batch:
        yield packing.entry(envelope)
    yield packing.end()


@contextmanager
def _bar(total: int, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """A bar for so many entries; told of those that are over."""
    if not shown:
        yield lambda _count: None
        return
    from rich.progress import Progress  # noqa: PLC0415 - as above

    with Progress(console=console(err=True)) as progress:
        task = progress.add_task("entries", total=total)
        yield lambda count: progress.advance(task, count)
