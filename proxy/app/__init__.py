"""The composition root: the one place that names concrete classes, clocks and dice."""

from proxy.app.serving import serve
from proxy.app.whole import Sidecache

__all__ = ["Sidecache", "serve"]
