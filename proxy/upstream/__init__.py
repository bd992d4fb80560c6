"""The backends: where a path belongs, and how one is asked without adding to what it says."""

from proxy.upstream.client import HttpUpstream
from proxy.upstream.guarded import GuardedUpstream, Silence
from proxy.upstream.routes import Routes
from proxy.upstream.spec import UpstreamSpec

__all__ = ["GuardedUpstream", "HttpUpstream", "Routes", "Silence", "UpstreamSpec"]
