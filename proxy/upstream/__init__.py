"""The backends: where a path belongs, and how one is asked without adding to what it says."""

from proxy.upstream.client import HttpUpstream
from proxy.upstream.gated import GatedUpstream
from proxy.upstream.guarded import GuardedUpstream, Silence
from proxy.upstream.routes import Routes
from proxy.upstream.spec import UpstreamSpec
from proxy.upstream.traffic import Traffic

__all__ = [
    "GatedUpstream",
    "GuardedUpstream",
    "HttpUpstream",
    "Routes",
    "Silence",
    "Traffic",
    "UpstreamSpec",
]
