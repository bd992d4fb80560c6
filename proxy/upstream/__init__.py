"""The backends: where a path belongs, and how one is asked without adding to what it says."""

from proxy.upstream.client import HttpUpstream
from proxy.upstream.guarded import GuardedUpstream, Silence
from proxy.upstream.limited import LimitedUpstream
from proxy.upstream.routes import Routes
from proxy.upstream.spec import UpstreamSpec
from proxy.upstream.traffic import Traffic

__all__ = [
    "GuardedUpstream",
    "HttpUpstream",
    "LimitedUpstream",
    "Routes",
    "Silence",
    "Traffic",
    "UpstreamSpec",
]
