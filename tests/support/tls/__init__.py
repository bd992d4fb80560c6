"""Certificates that vouch for nothing, and the server side of TLS made from them."""

from __future__ import annotations

import ssl
from pathlib import Path

_HERE = Path(__file__).parent
AUTHORITY = str(_HERE / "authority.pem")
CLIENT_CERTIFICATE = str(_HERE / "client.pem")
CLIENT_KEY = str(_HERE / "client.key")


def server_context(*, asks_for_client: bool = False) -> ssl.SSLContext:
    """What a server at backend.test, localhost or 127.0.0.1 shows; may ask who the client is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_HERE / "server.pem", _HERE / "server.key")
    if asks_for_client:
        context.load_verify_locations(AUTHORITY)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
