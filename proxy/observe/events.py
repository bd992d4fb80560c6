"""What happens to the proxy itself, told by the standard library's logging: a line for each event.

A room tells an event with its own logger and passes what goes with it as ``extra``:

    logging.getLogger("sidecache.upstream").warning("backend fails", extra={"upstream": id})

Nothing is told that was said in confidence. Of an exception there is its class, what the operating
system called it, and where it was raised; never its text, which may quote a prompt. Of other
packages' messages there are the first words, before anything is filled in. Of our own there is all
but what looks like a secret, or is one.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Literal

import orjson
from aiohttp.http_exceptions import HttpProcessingError

from proxy.observe.log import Stamp, printable
from proxy.observe.sink import Lines

_OURS: Final = ("sidecache", "proxy")  # the first part of our loggers' names
_LONGEST: Final = 1000  # characters of one text
_FRAMES: Final = 20
_ITEMS: Final = 20  # of a list
_CAUSES: Final = 5
_SHORTEST_SECRET: Final = 6  # characters; blanking out shorter ones would riddle the text

_MOST_SECRETS: Final = 1000

_NOT_EXTRA: Final = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message", "asctime", "taskName", "ts", "level", "event",
}  # fmt: skip
_FIRST_WORDS: Final = re.compile(r"[\w ,.'-]*")

_MASK: Final = "***"
_SECRETIVE: Final = (
    (re.compile(r"(?i)\b(bearer|basic|digest)\s+[^\s\"',;]+"), rf"\1 {_MASK}"),
    (re.compile(r"//[^/@\s]+@"), f"//{_MASK}@"),
    (re.compile(r"(?<=[\w/])\?[^\s\"'<>]+"), f"?{_MASK}"),
    (re.compile(r"(?i)\b((?:set-)?cookie)\b[\"']?\s*[:=].*"), rf"\1: {_MASK}"),
    (
        re.compile(
            r"(?i)((?:authorization|api[-_]?key|token|secret|passw(?:or)?d)[\"']?\s*[:=]\s*[\"']?)"
            r"(?!bearer |basic |digest )[^\s\"',;&]+"
        ),
        rf"\1{_MASK}",
    ),
    (re.compile(r"\b(?:sk|pk|rk|gh[a-z]|hf|xox[a-z])[-_][\w-]{8,}|\bAIza[\w-]{10,}"), _MASK),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), _MASK),  # JWT: RFC 7519, section 3
)


@contextmanager
def events(
    sink: Lines,
    *,
    style: Literal["json", "text"],
    level: Literal["debug", "info", "warning", "error"],
    wall: Callable[[], float],
    secrets: Iterable[str] = (),
) -> Iterator[Telling]:
    """Send all logging to ``sink`` while the block lasts; then restore what was.

    Args:
        sink: where lines go.
        style: one JSON object a line, or text for people.
        level: the least important of our own events that is told. Of others', warnings.
        wall: seconds since the epoch.
        secrets: texts that must not appear, whatever they look like.
    """
    root, access = logging.getLogger(), logging.getLogger("aiohttp.access")
    ours = [logging.getLogger(name) for name in _OURS]
    handlers, levels, quiet = root.handlers, [each.level for each in (root, *ours)], access.disabled
    handler = _ToSink(sink, style, wall)
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    telling = Telling(handler, ours)
    telling.change(level, secrets)
    access.disabled = True  # it tells query strings
    # What ends a thread, or cannot be raised, the interpreter prints with all that it quotes.
    hooks = threading.excepthook, sys.unraisablehook
    threading.excepthook = _in_thread
    sys.unraisablehook = _unraisable
    try:
        yield telling
    finally:
        threading.excepthook, sys.unraisablehook = hooks
        root.handlers = handlers
        for logger, before in zip((root, *ours), levels, strict=True):
            logger.setLevel(before)
        access.disabled = quiet


def _in_thread(failed: threading.ExceptHookArgs) -> None:
    name = "" if failed.thread is None else failed.thread.name
    logging.getLogger("sidecache").error(
        "a thread failed", extra={"where": name}, exc_info=failed.exc_value
    )


def _unraisable(failed: sys.UnraisableHookArgs) -> None:
    logging.getLogger("sidecache").error("cleaning up failed", exc_info=failed.exc_value)


class Redactor:
    """Blanks out what looks like a secret, and the ``secrets`` that are known."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = sorted({s for s in secrets if len(s) >= _SHORTEST_SECRET}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        """``text``, bounded, without secrets."""
        text = text[: 4 * _LONGEST]  # cut before the work, and again after: never inside a secret
        if self._known:
            text = self._known.sub(_MASK, text)
        for pattern, mask in _SECRETIVE:
            text = pattern.sub(mask, text)
        return text[:_LONGEST]


class Telling:
    """What is told now, which may change."""

    def __init__(self, handler: _ToSink, loggers: Iterable[logging.Logger]) -> None:
        self._handler = handler
        self._loggers = tuple(loggers)
        self._secrets: dict[str, None] = {}  # in the order they came

    def change(
        self, level: Literal["debug", "info", "warning", "error"], secrets: Iterable[str]
    ) -> None:
        """Tell events of this level and above from now on, and ``secrets`` no more.

        Those of before stay secret, too: for a while they may still come up.
        """
        for logger in self._loggers:
            logger.setLevel(level.upper())
        new = [secret for secret in secrets if secret not in self._secrets]
        if new:
            self._secrets |= dict.fromkeys(new)
            for oldest in list(self._secrets)[:-_MOST_SECRETS]:
                del self._secrets[oldest]
            self._handler.redact = Redactor(self._secrets)


class _ToSink(logging.Handler):
    """Renders records, without their secrets, into a sink."""

    def __init__(
        self,
        sink: Lines,
        style: Literal["json", "text"],
        wall: Callable[[], float],
    ) -> None:
        super().__init__()
        self._sink = sink
        self._style = style
        self._stamp = Stamp()
        self._wall = wall
        self.redact = Redactor()

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            return  # a client that does not speak HTTP; it was told so
        fields: dict[str, object] = {
            "ts": self._stamp(self._wall()),
            "level": record.levelname.lower(),
            "event": self._message(record),
        }
        for name, value in record.__dict__.items():
            if name not in _NOT_EXTRA:
                fields[name] = self._plain(value)
        if error is not None:
            fields |= _told(error)
        self._sink.put(_text(fields) if self._style == "text" else _json(fields))

    def _plain(self, value: object) -> object:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, list | tuple):
            return [self.redact(str(item)) for item in value[:_ITEMS]]
        return self.redact(str(value))

    def _message(self, record: logging.LogRecord) -> str:
        if record.name.partition(".")[0] not in _OURS:
            words = _FIRST_WORDS.match(str(record.msg).partition("\n")[0])
            return f"{record.name}: {words[0].strip() if words else ''}"
        try:
            return self.redact(record.getMessage())
        except (TypeError, ValueError):  # arguments that do not fit the text
            return self.redact(str(record.msg))


def _told(error: BaseException) -> dict[str, object]:
    """What may be told of ``error``."""
    told: dict[str, object] = {"error": _class(error)}
    causes: list[str] = []
    cause = error.__cause__ or error.__context__
    while cause is not None and len(causes) < _CAUSES:
        causes.append(_class(cause))
        cause = cause.__cause__ or cause.__context__
    if causes:
        told["causes"] = causes
    trace = list(_trace(error.__traceback__))[-_FRAMES:]
    if trace:
        told["trace"] = trace
    return told


def _class(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, OSError) and isinstance(error.errno, int) and error.errno > 0:
        return f"{name} ({os.strerror(error.errno)})"
    return name


def _trace(tb: TracebackType | None) -> Iterator[str]:
    for frame, line in traceback.walk_tb(tb):
        file = "/".join(frame.f_code.co_filename.replace(os.sep, "/").rsplit("/", 2)[-2:])
        yield f"{file}:{line} {frame.f_code.co_name}"


def _json(fields: dict[str, object]) -> bytes:
    try:
        return orjson.dumps(fields, None, orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError:  # a lone surrogate, or an integer beyond 64 bits
        plain = {name: printable(str(value)) for name, value in fields.items()}
        return orjson.dumps(plain, None, orjson.OPT_APPEND_NEWLINE)


def _text(fields: dict[str, object]) -> bytes:
    head = f"{fields.pop('ts')} {str(fields.pop('level')).upper()} {fields.pop('event')}"
    rest = " ".join(f"{name}={value}" for name, value in fields.items())
    return f"{printable(f'{head} {rest}'.strip())}\n".encode()
