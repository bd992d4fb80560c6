"""The recording, from settings."""

from __future__ import annotations

import time

from proxy.app.seat import Recording, Seat
from proxy.config.settings import Settings
from proxy.observe.recording import Recorder
from proxy.observe.trace_writer import TraceWriter


def recorder(settings: Settings, seat: Seat | None = None) -> Recorder | None:
    """What records requests, not started yet; None: nothing does.

    Several workers write one recording, each to a file of its own, and have a share of the bytes.
    """
    chosen = settings.recording
    if chosen.file is None:
        return None
    path = chosen.file.expanduser()
    if seat is not None:
        path = path.with_stem(f"{path.stem}-worker{seat.slot}")
    own = Recording.drawn() if seat is None else seat.recording
    writer = TraceWriter(path, max_bytes=chosen.max_bytes // settings.workers, recording=own.name)
    return Recorder(writer, salt=own.salt, wall=time.time)
