"""What is relied on of aiohttp besides its documentation, looked at before anything is served."""

from __future__ import annotations

from typing import Final

import aiohttp
from aiohttp import http_parser
from aiohttp.http_exceptions import LineTooLong

from proxy.downstream.connection import Connection
from proxy.downstream.limits import Limits
from proxy.downstream.request import surplus
from proxy.model.errors import ConfigError

# What Connection uses of aiohttp's RequestHandler besides its documented interface.
_LEANED_ON: Final = (
    "_buffer_paused", "_drain_waiter", "_loop", "_manager", "_message_tail", "_messages",
    "_msg_queue_resume_size", "_parser", "_paused", "_reading_paused", "_request_count",
    "_resume_reading_if_drained", "_resume_transport_reading", "_task_handler", "_upgraded",
    "_waiter", "max_field_size", "max_headers", "max_line_size",
)  # fmt: skip


def check(built: Connection, limits: Limits) -> None:
    """Refuse to serve on an aiohttp that does not do what is relied on.

    Args:
        built: one that will not be used for anything else; this spoils it.
        limits: those it was built with.

    Raises:
        ConfigError: naming every fault.
    """
    faults = []
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        faults.append(
            "its compiled parser is missing (or AIOHTTP_NO_EXTENSIONS is set), and the other one"
            " reads some requests differently from the servers behind this proxy"
        )
    if missing := [name for name in _LEANED_ON if not hasattr(built, name)]:
        faults.append(f"connections have no {', '.join(missing)}")
    else:
        set_to = (built.max_line_size, built.max_field_size, built.max_headers)
        if set_to != (limits.line_bytes, limits.field_bytes, limits.fields):
            faults.append(f"limits are {set_to} in spite of the settings")
        if not _keeps_limits(built, limits):
            faults.append("its parser does not keep the limits it is given")
    if faults:
        raise ConfigError(f"aiohttp {aiohttp.__version__} cannot be used: {'; '.join(faults)}.")


def express_fault(built: Connection) -> str:
    """Why equal bytes may not be taken for the same request by this aiohttp; "" if they may.

    Args:
        built: as for ``check``.
    """
    asked = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
    seen = []
    for _ in range(2):
        if built.parser is None:
            return "connections have no parser"
        messages, upgraded, tail = built.parser.feed_data(asked)
        if len(messages) != 1 or upgraded or tail:
            return "one request is not read as one"
        message, stream = messages[0]
        if not stream.is_eof() or surplus(message, asked) != 0:
            return "a request that is whole is not read as a whole"
        seen.append((message.method, message.path, message.version, message.raw_headers))
        built.parser.message_consumed()
    return "" if seen[0] == seen[1] else "equal bytes are read differently"


def _keeps_limits(built: Connection, limits: Limits) -> bool:
    """Whether the parser of ``built`` refuses what is beyond the limits. Spoils it."""
    if built.parser is None:
        return False
    try:
        built.parser.feed_data(b"GET /" + b"a" * limits.line_bytes)
    except LineTooLong:
        return True
    return False
