"""The settings of how changed settings are noticed."""

from __future__ import annotations

from pydantic import Field

from proxy.config.section import Section
from proxy.config.units import SomeSeconds


class Reload(Section):
    """Taking changed settings over without a restart."""

    watch: bool = Field(
        default=True,
        description="Whether the file of settings, and those it names for secrets and "
        "certificates, are looked at for changes. SIGHUP has them read again in any case.",
    )
    every_s: SomeSeconds = Field(default=1.0, description="How often they are looked at.")
