"""What all tests have in common."""

from __future__ import annotations

import os

from hypothesis import settings

# No deadline: how long an example takes depends on the machine. In CI the same examples every time,
# so that a red run is about the change; elsewhere new ones, which is how faults are found.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "here")
