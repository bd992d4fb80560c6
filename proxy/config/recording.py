"""The settings of the recording: what `sidecache tune` learns from."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from proxy.config.section import Section
from proxy.config.units import Bytes


class Recording(Section):
    """A trace of requests for `sidecache tune`: when, how large, what it cost; no content."""

    file: Path | None = Field(
        default=None,
        description="Where to record; null: nothing is. An older recording there is kept beside "
        "it, as FILE.1 and so on.",
        examples=["/var/lib/sidecache/trace.sct"],
    )
    max_bytes: Bytes = Field(
        default=256 * 2**20,
        description="What the file and the older ones beside it may take; the oldest go first. A "
        "million requests take some 30 MB.",
    )
