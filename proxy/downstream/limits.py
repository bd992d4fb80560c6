"""What one client may take of this proxy: time, bytes, fields, connections."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on clients. Times in seconds, sizes in bytes; all but ``linger_s`` above zero.

    Raises:
        ValueError: a bound is not above zero.
    """

    connections: int = 10_000  # open at once; more are answered 503
    backlog: int = 1024  # connections that wait to be accepted

    line_bytes: int = 16_384  # a request target; longer is 414
    field_bytes: int = 16_384  # a header field, name and value; longer is 431
    fields: int = 128  # header fields; more is 431
    head_bytes: int = 65_536  # a head in more than one piece; longer is 431; see ``head_cap``
    header_deadline_s: float = 10.0  # from the first byte of a head to its last, or from accepting
    idle_s: float = 75.0  # between two requests

    body_cap: int | None = None  # a longer body is 413; None: whoever reads it decides
    body_deadline_s: float = 300.0  # spent waiting for one body, in all
    body_grace_s: float = 10.0  # spent waiting before ``min_rate`` counts
    min_rate: float = 1024.0  # bytes a second below which a client is cut off, either way
    stall_s: float = 30.0  # a reader that has not taken ``min_rate * stall_s`` in this is cut off
    read_buffer: int = 65_536  # of a body nobody reads yet, before the client is held back
    send_buffer: int = 262_144  # of the kernel's, for a client that does not read; else megabytes

    half_close_grace_s: float = 1.0  # for a reply to begin once the client has ended its side
    linger_s: float = 2.0  # for the client to read an error before the rest it sends is reset

    @property
    def head_cap(self) -> int:
        """``head_bytes``, or more if the longest target and field would not fit in."""
        return max(self.head_bytes, self.line_bytes + self.field_bytes)

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and value <= 0 and field.name != "linger_s":
                raise ValueError(f"{field.name} must be above zero, not {value}")
