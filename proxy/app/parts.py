"""From settings to parts: each room gets plain parameters and never sees the settings."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING

from proxy.app.clock import seconds
from proxy.batching import Batcher
from proxy.batching import Limits as BatchLimits
from proxy.compression.compressor import Compressor
from proxy.compression.compressor import Counts as CompressionCounts
from proxy.compression.compressor import Route as CompressionRoute
from proxy.compression.cut import Cut
from proxy.compression.prompt import Plan
from proxy.compression.rules import Rule as Shorten
from proxy.config.caching import Admission as AdmissionSettings
from proxy.config.caching import Cache, Rule
from proxy.config.embeddings import Batching
from proxy.config.settings import Settings
from proxy.config.upstreams import Upstream as UpstreamSettings
from proxy.degrading import Degrading
from proxy.dialects.base import Dialect
from proxy.dividing import Dividing
from proxy.explaining.explain import Parts as Explained
from proxy.flight import Flights
from proxy.key import KeyRules, ScopeBy, Scoping
from proxy.lifecycle import Bounds, Lifecycle
from proxy.model.entry import CacheKey
from proxy.model.message import Headers, Request
from proxy.model.query import Query
from proxy.passing import Passing
from proxy.policy import AboutNow, Policy, Terms
from proxy.policy import Rule as PolicyRule
from proxy.question import Rooms
from proxy.reader import Reader
from proxy.reply import Replies
from proxy.resources.life import Resources
from proxy.tiers.admission import Admission
from proxy.tiers.browsing import Browsing
from proxy.tiers.ladder import Ladder
from proxy.timely import Timely
from proxy.upstream import Routes, UpstreamSpec
from proxy.wire.by_names import by_name
from proxy.wire.crossing import OutboundFields
from proxy.wire.steering import Family, Steering

if TYPE_CHECKING:
    from proxy.semantic.meaning import Meaning  # loaded with what it needs, or not at all


def key_rules(settings: Settings, secret: bytes) -> KeyRules:
    """What makes two queries equal; ``secret`` keys the hashes that scopes and keys are."""
    cache = settings.cache
    return KeyRules(
        secret,
        scoping=Scoping(ScopeBy(cache.scope.by), (cache.scope.header or "").lower()),
        inert=frozenset(name.lower() for name in cache.inert_headers) | steering(settings).names,
        keyed=frozenset(name.lower() for name in cache.keyed_headers) | _deciding(settings),
        inert_cookies=frozenset(cache.inert_cookies),
    )


def compressor(settings: Settings, counts: CompressionCounts) -> Compressor | None:
    """What makes prompts shorter, where any are; ``counts`` go on."""
    routes = [
        CompressionRoute(
            each.path,
            each.model,
            each.dialect,
            Plan(frozenset(map(Shorten, each.rules)), each.max_tokens, Cut(each.cut)),
        )
        for each in settings.compression
    ]
    return Compressor(routes, counts) if routes else None


def steering(settings: Settings) -> Steering:
    """The words by which callers steer the cache."""
    return Steering(Family(name) for name in settings.cache.compatibility)


def policies(settings: Settings, keys: KeyRules) -> Policy:
    """What may be served and kept."""
    cache = settings.cache
    return Policy(
        _terms(cache),
        tuple(_rule(rule) for rule in cache.rules),
        inert_cookies=frozenset(cache.inert_cookies),
        is_inert=keys.is_inert,
        own_scopes=cache.scope.by == "credential",
        negative=frozenset(cache.kept_statuses),
    )


def lifecycle(
    settings: Settings,
    *,
    keys: KeyRules,
    spoken: Sequence[Dialect],
    routes: Routes,
    ladder: Ladder,
    flights: Flights,
    meaning: Meaning | None,
    admission: Admission | None,
    shortening: Compressor | None,
    batcher: Batcher,
    passing: Passing,
    degrading: Degrading,
    others: Passing | Resources,
    replies: Replies,
    versions: Callable[[], int],
    edition: int,
    browsing: Browsing,
    unheard: Callable[[Request, Query, CacheKey], None] = lambda *_: None,
    caller: Callable[[Request], str] = lambda _: "",
) -> tuple[Lifecycle, Explained]:
    """The life of a request, and what is asked to explain one.

    Args:
        versions: counts the changes of knowledge bases.
        edition: of the settings.
        caller: who sent a request.
    """
    cache = settings.cache
    policy = policies(settings, keys)
    timely = Timely(cache.time_sensitive.words, built_in=cache.time_sensitive.built_in)
    rooms = Rooms(
        policy,
        ladder,
        outbound_fields(settings, identity=True),
        seconds,
        random.random,
        admission,
        meaning,
        shortening,
        batcher,
        edition,
        unheard,
        caller if ScopeBy(cache.scope.by) is ScopeBy.SHARED else None,
    )
    reader = Reader(keys, policy, timely.asks, steering(settings), versions)
    dividing = Dividing(spoken, reader, flights, replies, passing, failing=degrading.failing)
    explained = Explained(
        routes, spoken, reader, keys, rooms, flights, degrading, browsing, dividing,
        others if isinstance(others, Resources) else None,
        cache.max_request_bytes, replies.name,
    )  # fmt: skip
    living = Lifecycle(
        upstreams=routes,
        dialects=spoken,
        reader=reader,
        flights=flights,
        rooms=rooms,
        replies=replies,
        passing=passing,
        degrading=degrading,
        others=others,
        bounds=Bounds(cache.max_request_bytes, replay_pause=cache.replay_chunk_delay_s),
        dividing=dividing,
    )
    return living, explained


def admission(chosen: AdmissionSettings) -> Admission | None:
    """Who is let into the ladder; None: all."""
    return Admission(chosen.window_s, seconds) if chosen.seen_times > 1 else None


def batch_limits(batching: Batching) -> BatchLimits:
    """How many inputs go together."""

    def most(model: str) -> int:
        for limit in batching.models:
            if fnmatchcase(model, limit.model):
                return limit.max_inputs
        return batching.max_inputs

    return BatchLimits(
        wait_s=batching.wait_s,
        most=by_name(most),
        most_bytes=batching.max_bytes,
        reply_bytes=batching.max_reply_bytes,
        gathers=batching.enabled,
    )


def callers(settings: Settings, keys: KeyRules, secret: bytes) -> Callable[[Request], str]:
    """Who sent a request: those whose scopes differ, and where all share one, by credential."""
    shared = ScopeBy(settings.cache.scope.by) is ScopeBy.SHARED
    return KeyRules(secret).scope_of if shared else keys.scope_of


def passing(
    settings: Settings, routes: Routes, replies: Replies, caller: Callable[[Request], str]
) -> Passing:
    """The way past the cache."""
    fields = outbound_fields(settings, identity=False)
    return Passing(routes, replies, fields, seconds, caller)


def _deciding(settings: Settings) -> frozenset[str]:
    """The headers that some backend is told only by these settings, and may answer by."""
    return frozenset({"host"} if any(each.preserve_host for each in settings.upstreams) else ())


def outbound_fields(settings: Settings, *, identity: bool) -> Callable[[Request], Headers]:
    """The headers to send upstream; ``identity``: asking for bodies without content coding."""
    downstream = settings.downstream
    trusted = [ipaddress.ip_network(network) for network in downstream.trusted_proxies]

    @lru_cache(maxsize=4096)
    def trusts(peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in trusted)

    outbound = OutboundFields(
        pseudonym=settings.pseudonym,
        forwarded=downstream.forwarded,
        accept_identity=identity,
        drop=steering(settings).names,
    )
    named = any(upstream.preserve_host for upstream in settings.upstreams)

    def headers(request: Request) -> Headers:
        sent = outbound(request, trusted_peer=bool(trusted) and trusts(request.peer))
        # Only an upstream with `preserve_host` looks at it; the others write their own.
        return sent.plus(("Host", request.headers.get("host"))) if named else sent

    return headers


def _terms(cache: Cache) -> Terms:
    return Terms(
        enabled=cache.enabled,
        ttl=cache.ttl_s,
        max_ttl=cache.max_ttl_s,
        jitter=cache.jitter,
        stale_while_revalidate=cache.stale_while_revalidate_s,
        stale_if_error=cache.stale_if_error_s,
        max_temperature=cache.max_temperature,
        obey_response=cache.obey_upstream_cache_control,
        max_entry=cache.max_entry_bytes,
        negative_ttl=cache.negative.ttl_s,
        time_sensitive=AboutNow(cache.time_sensitive.action),
        time_sensitive_factor=cache.time_sensitive.factor,
        confident_above=cache.confidence.above,
        confident_factor=cache.confidence.factor,
        refresh_ahead=cache.refresh_ahead,
        variants=cache.variants,
        max_variants=cache.max_variants,
    )


def _rule(rule: Rule) -> PolicyRule:
    return PolicyRule(
        path=rule.path,
        model=rule.model,
        dialect=rule.dialect,
        enabled=rule.enabled,
        ttl=rule.ttl_s,
        max_ttl=rule.max_ttl_s,
        jitter=rule.jitter,
        stale_while_revalidate=rule.stale_while_revalidate_s,
        stale_if_error=rule.stale_if_error_s,
        max_temperature=rule.max_temperature,
        obey_response=rule.obey_upstream_cache_control,
        max_entry=rule.max_entry_bytes,
        negative_ttl=rule.negative_ttl_s,
        time_sensitive=None if rule.time_sensitive is None else AboutNow(rule.time_sensitive),
        time_sensitive_factor=rule.time_sensitive_factor,
        confident_above=rule.confident_above,
        confident_factor=rule.confident_factor,
        refresh_ahead=rule.refresh_ahead,
        variants=rule.variants,
        max_variants=rule.max_variants,
        by_meaning=rule.semantic,
    )


def upstream(upstream: UpstreamSettings) -> UpstreamSpec:
    """What there is to know of one backend."""
    tls = upstream.tls
    return UpstreamSpec(
        url=upstream.url,
        id=upstream.name,
        prefix=upstream.prefix,
        strip_prefix=upstream.strip_prefix,
        preserve_host=upstream.preserve_host,
        set_headers=tuple(upstream.headers.items()),
        max_connections=upstream.max_connections,
        connect_timeout_s=upstream.connect_timeout_s,
        first_byte_timeout_s=upstream.first_byte_timeout_s,
        idle_timeout_s=upstream.idle_timeout_s,
        keepalive_s=upstream.keepalive_s,
        retry_stale=upstream.retry_stale,
        verify_tls=tls.verify,
        ca_file=str(tls.ca_file or ""),
        client_cert_file=str(tls.cert_file or ""),
        client_key_file=str(tls.key_file or ""),
        server_name=tls.server_name or "",
    )


def known_secrets(settings: Settings) -> list[str]:
    """Texts that must not appear in any log."""
    others = (*settings.degradation.standby, *settings.degradation.retrieval)
    backends = (*settings.upstreams, *others)
    known = [value for backend in backends for value in backend.headers.values()]
    semantic = settings.semantic
    known += settings.tracing.secrets.values()
    own = (
        settings.admin.bearer,
        (settings.cache.scope.key or b"").decode(),
        settings.l2_redis.password,
        settings.l2_redis.sentinel_secret,
        semantic.embedder.secret,
        semantic.index.secret,
        semantic.index.address,
    )
    return known + [secret for secret in own if secret]
