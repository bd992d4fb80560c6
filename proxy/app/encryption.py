"""What clients are shown over https: a certificate that can be exchanged while it is served."""

from __future__ import annotations

import ssl
from pathlib import Path

from proxy.model.errors import ConfigError


def context(cert_file: Path | None, key_file: Path | None) -> ssl.SSLContext | None:
    """What a listener shows; None for plain http.

    Raises:
        ConfigError: the certificate or the key cannot be used, or they do not belong together.
    """
    if cert_file is None:
        return None
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        made.load_cert_chain(cert_file, key_file)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(
            f"tls: the certificate or key cannot be used: {error.strerror}"
        ) from error
    made.set_alpn_protocols(["http/1.1"])
    return made


class Shown:
    """What clients are shown now.

    Each handshake begins with the context of the listener, which cannot be exchanged, and is handed
    on to this one. To load other files into that context instead would be no less work, but what
    was checked would be read a second time, and in between a key without its certificate be shown.

    Args:
        first: what to begin with; the context for the listener.
    """

    def __init__(self, first: ssl.SSLContext) -> None:
        self.listener = first
        self._now = first
        first.sni_callback = self._hand_on

    def show(self, now: ssl.SSLContext) -> None:
        """Show ``now`` to all who connect from here on."""
        self._now = now

    def _hand_on(self, client: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        client.context = self._now
