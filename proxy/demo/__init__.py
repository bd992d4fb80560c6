"""The demo: a made-up backend, a guided tour of the proxy in front of it, and a proxy to try."""

from proxy.demo.guide import tour
from proxy.demo.serving import serve

__all__ = ["serve", "tour"]
