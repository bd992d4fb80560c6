"""The composition root: the one place that names concrete classes, clocks and dice."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import logging
import random
import re
import secrets
import signal
import ssl
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from proxy.admin.api import Admin
from proxy.config.caching import Cache, Rule
from proxy.config.settings import Settings
from proxy.config.upstreams import Upstream as UpstreamSettings
from proxy.dialects.openai_chat import OpenAIChat
from proxy.downstream.limits import Limits as ClientLimits
from proxy.downstream.server import Server
from proxy.flight import Flights
from proxy.flight import Limits as FlightLimits
from proxy.key import KeyRules, ScopeBy, Scoping
from proxy.lifecycle import Bounds, Lifecycle
from proxy.model.errors import ConfigError, TierError
from proxy.model.message import Headers, Request
from proxy.model.outcome import Record
from proxy.observe.events import events
from proxy.observe.log import RequestLog
from proxy.observe.sink import Sink
from proxy.policy import Policy, Terms
from proxy.policy import Rule as PolicyRule
from proxy.question import Rooms
from proxy.reader import Reader
from proxy.reply import Replies
from proxy.tiers.l1_memory import L1Memory
from proxy.tiers.ladder import Ladder
from proxy.upstream import HttpUpstream, Routes, UpstreamSpec
from proxy.wire.headers import outbound

log = logging.getLogger("sidecache")

_THOROUGH: Final = 8  # of so many full garbage collections one looks at everything


class Sidecache:
    """The whole proxy on the running loop: ``start`` it, and ``close`` it in the end.

    Args:
        settings: checked settings.
        record: told of every request once it is over.

    Raises:
        ConfigError: the settings cannot work together on this machine.
    """

    def __init__(
        self, settings: Settings, record: Callable[[Record], None] = lambda _: None
    ) -> None:
        if not settings.upstreams:
            raise ConfigError("no backend is given: use --upstream URL, or `upstreams` in the file")
        self._settings = settings
        self._ready = False
        self.routes = Routes(HttpUpstream(_upstream(each)) for each in settings.upstreams)
        self.memory = _memory(settings)
        self.ladder = Ladder([self.memory], _report_tier)
        self.flights = Flights(_flight_limits(settings), clock=time.monotonic, report=_report_bug)
        self.server = Server(
            (lifecycle := _lifecycle(settings, self.routes, self.ladder, self.flights)).answer,
            lifecycle.tunnel,
            record,
            _client_limits(settings),
            clock=time.time,
            pseudonym=settings.pseudonym,
        )
        self.admin = Admin(
            lambda: self._ready,
            token=settings.admin.bearer,
            allowed_hosts=settings.admin.allowed_hosts,
        )
        self._scheme = "https" if settings.tls.cert_file else "http"
        self._bound: tuple[str, int] | None = None
        self._admin_bound: tuple[str, int] | None = None

    @property
    def url(self) -> str:
        """Where clients come in."""
        return _url(self._scheme, self._bound)

    @property
    def admin_url(self) -> str | None:
        """Where the operator comes in, if anywhere."""
        return _url("http", self._admin_bound) if self._admin_bound else None

    async def start(self) -> None:
        """Listen. Raises ConfigError where that cannot be done."""
        settings = self._settings
        encryption = _tls(settings)  # first: it fails with nothing listening yet
        if settings.admin.enabled:
            where = settings.admin.listen
            self._admin_bound = await self.admin.start(where.host, where.port)
        try:
            self._bound = await self.server.start(
                settings.listen.host, settings.listen.port, ssl=encryption
            )
        except OSError as error:
            await self.admin.close()
            raise ConfigError(f"listen: {settings.listen}: {error.strerror}") from error
        self._ready = True

    async def close(self, deadline_s: float | None = None) -> None:
        """Take no more requests, let those under way end until the deadline, and let go of all.

        Args:
            deadline_s: seconds; None: as the settings say.
        """
        self._ready = False
        await self.server.close(
            self._settings.downstream.drain_s if deadline_s is None else deadline_s
        )
        await self.flights.close()
        await self.routes.close()
        await self.admin.close()


def serve(settings: Settings, announce: Callable[[Sidecache], None] = lambda _: None) -> int:
    """Run until told to stop (SIGTERM, SIGINT; a second one ends at once); the exit status.

    Raises:
        ConfigError: it cannot start.
    """
    sink = Sink(sys.stderr.buffer)
    told = events(
        sink, style=settings.log.format, level=settings.log.level, wall=time.time,
        secrets=_known_secrets(settings),
    )  # fmt: skip
    try:
        with told, asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(settings, sink, announce))
    finally:
        sink.close()
    return 0


async def _serve(settings: Settings, sink: Sink, announce: Callable[[Sidecache], None]) -> None:
    loop = asyncio.get_running_loop()
    requests = RequestLog(
        sink, style=settings.log.format, wall=time.time, call_later=loop.call_later
    )
    proxy = Sidecache(settings, requests.write if settings.log.requests else lambda _: None)
    await proxy.start()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows: KeyboardInterrupt does it
            loop.add_signal_handler(number, _on_signal, stop)
    log.info(
        "listening",
        extra={"url": proxy.url, "admin": proxy.admin_url, "upstreams": _names(settings)},
    )
    announce(proxy)
    gc.callbacks.append(_keep_survivors)
    gc.collect()
    try:
        await stop.wait()
        log.info("draining", extra={"deadline_s": settings.downstream.drain_s})
    finally:
        await proxy.close()
        requests.flush()
    log.info("stopped")


def _keep_survivors(phase: str, info: dict[str, int]) -> None:
    """After a full garbage collection: what survived it is not looked at by the next few.

    Entries live long and hold no cycles; looking at 100,000 of them takes 200 ms in which nothing
    is answered. But what was under way survives too, and whoever hangs up leaves cycles behind (an
    exception and the frames it went through), so now and then everything is looked at.
    """
    if info["generation"] != 2:  # noqa: PLR2004 - the oldest there is
        return
    if phase == "stop":
        gc.freeze()
    elif gc.get_stats()[2]["collections"] % _THOROUGH == 0:
        gc.unfreeze()


def _on_signal(stop: asyncio.Event) -> None:
    if stop.is_set():
        # Somebody asked twice: crash-only, nothing here depends on a clean end.
        sys.stderr.flush()
        signal.raise_signal(signal.SIGKILL)
    stop.set()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - where it does not exist, asyncio's own loop does
    except ImportError:
        return None
    return uvloop.new_event_loop


# -- settings to parts ----------------------------------------------------------------------------


def _lifecycle(settings: Settings, routes: Routes, ladder: Ladder, flights: Flights) -> Lifecycle:
    cache = settings.cache
    keys = KeyRules(
        cache.scope.key or secrets.token_bytes(32),
        scoping=Scoping(ScopeBy(cache.scope.by), (cache.scope.header or "").lower()),
        inert=frozenset(name.lower() for name in cache.inert_headers),
        keyed=frozenset(name.lower() for name in cache.keyed_headers) | _deciding(settings),
        inert_cookies=frozenset(cache.inert_cookies),
    )
    policy = Policy(
        _terms(cache),
        tuple(_rule(rule) for rule in cache.rules),
        inert_cookies=frozenset(cache.inert_cookies),
        is_inert=keys.is_inert,
        own_scopes=cache.scope.by == "credential",
    )
    dialect = OpenAIChat(
        inert=frozenset(cache.inert_fields),
        store_truncated=cache.store_truncated,
        store_tool_calls=cache.store_tool_calls,
        json_without_usage=cache.json_without_usage,
    )
    rooms = Rooms(policy, ladder, _outbound(settings, identity=True), time.monotonic, random.random)
    return Lifecycle(
        upstreams=routes,
        dialects=[dialect],
        reader=Reader(keys, policy),
        flights=flights,
        rooms=rooms,
        replies=Replies(settings.pseudonym, time.monotonic),
        passing=_outbound(settings, identity=False),
        bounds=Bounds(cache.max_request_bytes, replay_pause=cache.replay_chunk_delay_s),
    )


def _deciding(settings: Settings) -> frozenset[str]:
    """The headers that some backend is told only by these settings, and may answer by."""
    return frozenset({"host"} if any(each.preserve_host for each in settings.upstreams) else ())


def _outbound(settings: Settings, *, identity: bool) -> Callable[[Request], Headers]:
    downstream, name = settings.downstream, settings.pseudonym
    trusted = [ipaddress.ip_network(network) for network in downstream.trusted_proxies]

    @lru_cache(maxsize=4096)
    def trusts(peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in trusted)

    named = any(upstream.preserve_host for upstream in settings.upstreams)

    def headers(request: Request) -> Headers:
        sent = outbound(
            request,
            pseudonym=name,
            trusted_peer=bool(trusted) and trusts(request.peer),
            forwarded=downstream.forwarded,
            accept_identity=identity,
        )
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
    )


def _rule(rule: Rule) -> PolicyRule:
    return PolicyRule(
        path=rule.path,
        model=rule.model,
        enabled=rule.enabled,
        ttl=rule.ttl_s,
        max_ttl=rule.max_ttl_s,
        jitter=rule.jitter,
        stale_while_revalidate=rule.stale_while_revalidate_s,
        stale_if_error=rule.stale_if_error_s,
        max_temperature=rule.max_temperature,
        obey_response=rule.obey_upstream_cache_control,
        max_entry=rule.max_entry_bytes,
    )


def _memory(settings: Settings) -> L1Memory:
    sizes = settings.l1_memory
    most = sizes.max_entry_bytes or settings.cache.max_entry_bytes
    return L1Memory(
        max_bytes=sizes.max_bytes,
        max_entry_bytes=most,
        clock=time.monotonic,
        scope_share=sizes.scope_share,
    )


def _flight_limits(settings: Settings) -> FlightLimits:
    flights = settings.flights
    return FlightLimits(
        wait_timeout=flights.wait_timeout_s,
        stall_timeout=flights.stall_timeout_s,
        flights=flights.max_flights,
        followers=flights.max_followers,
        flight_bytes=flights.max_flight_bytes,
        total_bytes=flights.max_total_bytes,
        window_bytes=flights.lag_limit_bytes,
        orphan_grace=flights.orphan_grace_s,
        orphan_budget=flights.orphan_budget_s,
        orphans=flights.max_orphans,
        hit_for_miss_ttl=flights.hit_for_miss_s,
        hit_for_miss_keys=flights.hit_for_miss_max,
        elections=flights.elections,
        refreshes=flights.max_refreshes,
    )


def _client_limits(settings: Settings) -> ClientLimits:
    limits = settings.downstream.limits
    return ClientLimits(
        connections=limits.max_connections,
        line_bytes=limits.max_header_line_bytes,
        field_bytes=limits.max_header_field_bytes,
        fields=limits.max_headers,
        header_deadline_s=limits.header_deadline_s,
        idle_s=limits.idle_keepalive_s,
        body_cap=limits.max_body_bytes,
        body_deadline_s=limits.body_deadline_s,
        min_rate=limits.body_min_rate_bytes,
        stall_s=limits.write_stall_s,
        half_close_grace_s=limits.half_close_grace_s,
    )


def _upstream(upstream: UpstreamSettings) -> UpstreamSpec:
    tls = upstream.tls
    return UpstreamSpec(
        url=upstream.url,
        id=_identifier(upstream.name),
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


def _identifier(name: str) -> str:
    """``name`` with what an upstream's id cannot hold (colons, slashes) made a dash."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", name).strip("-._")[:64]


def _tls(settings: Settings) -> ssl.SSLContext | None:
    tls = settings.tls
    if not tls.cert_file:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(
            f"tls: the certificate or key cannot be used: {error.strerror}"
        ) from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def _known_secrets(settings: Settings) -> list[str]:
    known = [value for upstream in settings.upstreams for value in upstream.headers.values()]
    own = (settings.admin.bearer, (settings.cache.scope.key or b"").decode())
    return known + [secret for secret in own if secret]


def _names(settings: Settings) -> list[str]:
    return [upstream.name for upstream in settings.upstreams]


def _url(scheme: str, bound: tuple[str, int] | None) -> str:
    if bound is None:
        raise RuntimeError("not started yet")
    host, port = bound
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _report_tier(tier: str, error: TierError) -> None:
    log.warning("a tier failed", extra={"tier": tier}, exc_info=error)


def _report_bug(bug: BaseException) -> None:
    log.error("a flight failed in a way nobody foresaw", exc_info=bug)
