"""The settings of what is in no dialect: GET and HEAD, cached as HTTP has it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from proxy.config.section import Section
from proxy.config.units import Fraction, Seconds


class HttpResource(Section):
    """GET and HEAD of anything that is in no dialect, cached as RFC 9111 says."""

    enabled: bool = Field(default=False, description="Whether they are cached.")
    heuristic_fraction: Fraction = Field(
        default=0.0,
        description="Where a response does not say how long it is fresh: the share of the time "
        "since it was last modified (RFC 9111, section 4.2.2; 0.1 is usual). 0: not at all. Never "
        "used for requests with a credential or a cookie.",
    )
    heuristic_max_s: Seconds = Field(
        default=86_400.0, description="The longest time that is assumed so."
    )
    retain_s: Seconds = Field(
        default=3600.0,
        description="For how long what is stale is kept, to ask the backend whether it is still "
        "right.",
    )
    set_cookie: Literal["never", "explicit", "always"] = Field(
        default="explicit",
        description="Which responses with `Set-Cookie` are stored, cookies and all: none, those "
        "that say they are for all (`public`, `s-maxage`, a targeted field), or all that may be "
        "stored otherwise (RFC 9111, section 7.3).",
    )
    surrogate_control: bool = Field(
        default=True,
        description="Whether `Surrogate-Control` is heard, and `Surrogate-Capability` sent.",
    )
