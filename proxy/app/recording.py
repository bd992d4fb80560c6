"""The recording, from settings."""

from __future__ import annotations

import os
import time

from proxy.config.settings import Settings
from proxy.observe.recording import Recorder
from proxy.observe.trace_writer import TraceWriter

_NAME_BYTES = 16
_SALT_BYTES = 32


def recorder(settings: Settings) -> Recorder | None:
    """What records requests, not started yet; None: nothing does."""
    chosen = settings.recording
    if chosen.file is None:
        return None
    writer = TraceWriter(
        chosen.file.expanduser(),
        max_bytes=chosen.max_bytes,
        recording=os.urandom(_NAME_BYTES),
    )
    return Recorder(writer, salt=os.urandom(_SALT_BYTES), wall=time.time)
