"""Parts of a stored response (RFC 9110, section 14; RFC 9111, section 3.3)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_SPEC: Final = re.compile(r"(\d{0,18})-(\d{0,18})", re.ASCII)
# RFC 9110, section 14.2: a request for many or overlapping parts may be an attack; all is sent.
_MOST: Final = 16


class Part(NamedTuple):
    """Bytes from ``start`` to before ``end``."""

    start: int
    end: int

    def told(self, size: int) -> str:
        """As ``Content-Range`` has it (RFC 9110, section 14.4)."""
        return f"bytes {self.start}-{self.end - 1}/{size}"


UNSATISFIABLE: Final[tuple[Part, ...]] = ()


def parts(value: str, size: int) -> tuple[Part, ...] | None:
    """The parts that a ``Range`` field asks for of ``size`` bytes, in the order asked.

    UNSATISFIABLE if there are none; None if the field is to be ignored: it makes no sense, is not
    about bytes, or asks for more than there is.
    """
    unit, equals, specs = value.partition("=")
    if not equals or unit.strip(" \t").lower() != "bytes":
        return None
    wanted: list[Part] = []
    for spec in specs.split(","):
        text = spec.strip(" \t")
        if not text:
            continue
        found = _SPEC.fullmatch(text)
        if found is None or text == "-":
            return None
        first, last = found[1], found[2]
        if not first:
            part = Part(max(0, size - int(last)), size)
        else:
            if last and int(last) < int(first):
                return None
            part = Part(int(first), min(int(last) + 1, size) if last else size)
        if part.start < part.end:
            wanted.append(part)
    if len(wanted) > _MOST or sum(part.end - part.start for part in wanted) > size:
        return None
    return tuple(wanted) if specs.strip(" \t,") else None


def multipart(body: bytes, wanted: tuple[Part, ...], content_type: str, boundary: str) -> bytes:
    """Several parts of ``body`` in one (RFC 9110, section 14.6).

    Args:
        boundary: what comes between; must not be in ``body``.
    """
    said = f"Content-Type: {content_type}\r\n" if content_type else ""
    pieces: list[bytes] = []
    for part in wanted:
        head = f"\r\n--{boundary}\r\n{said}Content-Range: {part.told(len(body))}\r\n\r\n"
        pieces += (head.encode("utf-8", "surrogateescape"), body[part.start : part.end])
    return b"".join((*pieces, f"\r\n--{boundary}--\r\n".encode()))
