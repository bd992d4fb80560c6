"""What is told to systemd, if that started this process and wants to know: sd_notify(3).

The protocol is a datagram of ``NAME=value`` lines to the socket in NOTIFY_SOCKET. It is told by the
first process only, as the unit has NotifyAccess=main, and never waits: a word that cannot be sent
is lost, and systemd acts on its own time limits.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from typing import Final

log = logging.getLogger("sidecache")

_VARIABLE: Final = "NOTIFY_SOCKET"
_ABSTRACT: Final = "@"  # in place of the zero byte with which an abstract address begins


class Systemd:
    """Tells systemd how this process is; nothing, where nobody wants to know.

    Args:
        environ: where NOTIFY_SOCKET is, or is not.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get(_VARIABLE, "")
        if address.startswith(_ABSTRACT):
            address = "\0" + address.removeprefix(_ABSTRACT)
        self._address = address

    def ready(self) -> None:
        """Clients are let in: units that come after this one may start."""
        self._tell("READY=1")

    def stopping(self) -> None:
        """It was told to stop, by whomever, and will once nothing is under way."""
        self._tell("STOPPING=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
                told.settimeout(0)
                told.sendto(state.encode(), self._address)
        except OSError as error:
            log.warning("systemd was not told", extra={"state": state, "why": error.strerror})
