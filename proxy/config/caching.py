"""The settings of the cache: what is kept, for how long, for whom, and what is asked only once."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from proxy.config.freshness import AboutNow, Confidence, TimeSensitive
from proxy.config.negative import Moment, Negative
from proxy.config.section import Section, conflict
from proxy.config.units import (
    Accepts,
    Bytes,
    CookieName,
    Count,
    Fraction,
    HeaderName,
    Multiple,
    Seconds,
    SecretInFile,
    Share,
    SomeCount,
    SomeSeconds,
    Strength,
    Temperature,
)

_KIB: Final = 1024
_MIB: Final = 1024 * _KIB
_SHORTEST_SECRET: Final = 16  # characters; RFC 2104, section 3: shorter keys weaken the hash

# What load balancers and CDNs set to find their way back; it never says who somebody is.
_ROUTING_COOKIES: Final = (
    "__cf_bm", "__cflb", "_cfuvid", "AWSALB", "AWSALBCORS", "AWSALBTG", "AWSALBTGCORS", "AWSELB",
    "AWSELBCORS", "ApplicationGatewayAffinity", "ApplicationGatewayAffinityCORS", "ARRAffinity",
    "ARRAffinitySameSite", "GCLB",
)  # fmt: skip


Compatible = Literal["litellm", "openrouter", "helicone", "cloudflare", "portkey", "bifrost"]


def _long_enough(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < _SHORTEST_SECRET:
        raise ValueError(f"must have at least {_SHORTEST_SECRET} characters")
    return secret


class Scope(Section):
    """Whose answers may be shared. Nobody hears another's unless this says so."""

    by: Literal["credential", "header", "shared"] = Field(
        default="credential",
        description="Who shares answers: callers with the same `credential`, callers with the same "
        "value of `header`, or all (`shared`: whoever reaches the proxy is given them).",
    )
    header: HeaderName | None = Field(
        default=None, description="The header that tells callers apart when `by` is `header`."
    )
    secret: (
        Annotated[SecretStr, AfterValidator(_long_enough), Accepts("at least 16 characters")] | None
    ) = Field(
        default=None,
        description="Keys the hashes that scopes and cache keys are. Proxies that share a store "
        "need the same. Absent, one is drawn and kept beside the entries on disk; without a disk, "
        "a new one is drawn at every start.",
    )
    secret_file: SecretInFile | None = Field(
        default=None, description="A file to read `secret` from."
    )

    @property
    def key(self) -> bytes | None:
        """The secret, wherever it was given."""
        secret = self.secret_file.secret if self.secret_file else self.secret
        return secret.get_secret_value().encode() if secret else None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.by == "header" and self.header is None:
            raise conflict("`by: header` needs a `header`", "by", "header")
        if self.by != "header" and self.header is not None:
            raise conflict("a `header` is only for `by: header`", "header", "by")
        if self.secret and self.secret_file:
            raise conflict(
                "`secret` and `secret_file` cannot both be given", "secret_file", "secret"
            )
        if self.secret_file:
            try:
                _long_enough(self.secret_file.secret)
            except ValueError as error:
                raise conflict(f"the secret in the file {error}", "secret_file") from None
        return self


class Rule(Section):
    """What differs for some paths, models or protocols. A setting left out stays as it is.

    All rules that match apply, in the order given, so the later one wins.
    """

    path: str = Field(
        default="*",
        min_length=1,
        description="The paths it is for, as a shell pattern; `*` also crosses slashes.",
    )
    model: str = Field(
        default="*", min_length=1, description="The models it is for, as a shell pattern."
    )
    dialect: str = Field(
        default="*",
        min_length=1,
        description="The protocols it is for, as a shell pattern: `openai_chat`, "
        "`openai_responses`, `openai_embeddings`, `anthropic_messages`, `ollama`, `rerank` and the "
        "like, as the log calls them.",
    )
    enabled: bool | None = Field(default=None, description="As `cache.enabled`.")
    ttl_s: SomeSeconds | None = Field(default=None, description="As `cache.ttl_s`.")
    max_ttl_s: SomeSeconds | None = Field(default=None, description="As `cache.max_ttl_s`.")
    jitter: Fraction | None = Field(default=None, description="As `cache.jitter`.")
    stale_while_revalidate_s: Seconds | None = Field(
        default=None, description="As `cache.stale_while_revalidate_s`."
    )
    stale_if_error_s: Seconds | None = Field(
        default=None, description="As `cache.stale_if_error_s`."
    )
    variants: SomeCount | None = Field(default=None, description="As `cache.variants`.")
    max_variants: SomeCount | None = Field(default=None, description="As `cache.max_variants`.")
    refresh_ahead: Strength | None = Field(default=None, description="As `cache.refresh_ahead`.")
    semantic: bool | None = Field(
        default=None,
        description="Whether questions asked in other words may be answered, where `semantic` is "
        "on.",
    )
    time_sensitive: AboutNow | None = Field(
        default=None, description="As `cache.time_sensitive.action`."
    )
    time_sensitive_factor: Share | None = Field(
        default=None, description="As `cache.time_sensitive.factor`."
    )
    confident_above: Fraction | None = Field(
        default=None, description="As `cache.confidence.above`."
    )
    confident_factor: Multiple | None = Field(
        default=None, description="As `cache.confidence.factor`."
    )
    max_temperature: Temperature | None = Field(
        default=None, description="As `cache.max_temperature`; 2 lifts a limit set there."
    )
    max_entry_bytes: Bytes | None = Field(default=None, description="As `cache.max_entry_bytes`.")
    obey_upstream_cache_control: bool | None = Field(
        default=None, description="As `cache.obey_upstream_cache_control`."
    )
    negative_ttl_s: Moment | None = Field(default=None, description="As `cache.negative.ttl_s`.")


class Admission(Section):
    """Who is let into the cache."""

    seen_times: Annotated[int, Field(ge=1, le=2), Accepts("1 or 2")] = Field(
        default=1,
        description="How often a question must have been asked for its answer to be kept. 2 saves "
        "room and writes where most are never asked again; each process counts for itself.",
    )
    window_s: SomeSeconds = Field(
        default=3600.0,
        description="How long a first time counts: half of this at least, all of it at most; less "
        "when more than 500,000 questions come in half of it.",
    )


class Cache(Section):
    """What may be answered from the cache, and for how long."""

    enabled: bool = Field(
        default=True, description="Whether anything is cached; without, all is only passed on."
    )
    ttl_s: SomeSeconds = Field(default=3600.0, description="For how long an answer is fresh.")
    max_ttl_s: SomeSeconds = Field(
        default=86400.0, description="The longest lifetime that a caller may ask for."
    )
    jitter: Fraction = Field(
        default=0.1,
        description="The share of its lifetime that chance may take off an entry, so that what "
        "was stored together does not expire together. Never adds any.",
    )
    stale_while_revalidate_s: Seconds = Field(
        default=0.0,
        description="For how long after its lifetime an answer is still given, while a fresh one "
        "is fetched (RFC 5861, section 3).",
    )
    stale_if_error_s: Seconds = Field(
        default=0.0,
        description="For how long after its lifetime an answer is still given when the backend "
        "fails (RFC 5861, section 4).",
    )
    variants: SomeCount = Field(
        default=1,
        description="How many answers to one question are kept. With more than one, chance draws "
        "which a caller gets, and what is not there yet is asked for; a question with a `seed` "
        "always has one.",
    )
    max_variants: SomeCount = Field(
        default=20, description="The most of them that a caller may ask for (`X-Cache-Variants`)."
    )
    compatibility: tuple[Compatible, ...] = Field(
        default=("litellm",),
        description="Whose words callers may steer the cache with, besides `Cache-Control` and "
        "`X-Cache-*`: the `cache` object of LiteLLM, and the headers of the others. Their headers "
        "then go no further; where they are not named, they count as part of the question.",
        examples=[["litellm", "helicone"]],
    )
    refresh_ahead: Strength = Field(
        default=1.0,
        description="How early an answer in demand is fetched anew before its lifetime ends: about "
        "so many times as long as the backend took for it, left to chance (XFetch). 0: never.",
    )
    time_sensitive: TimeSensitive = Field(
        default_factory=TimeSensitive,
        description="Questions about now, such as those for the weather, a price or the news.",
    )
    confidence: Confidence = Field(
        default_factory=Confidence,
        description="Answers that say how sure they are of themselves.",
    )
    max_request_bytes: Bytes = Field(
        default=4 * _MIB, description="Requests with a longer body are passed on uncached."
    )
    max_entry_bytes: Bytes = Field(
        default=4 * _MIB, description="Answers with a longer body are not kept."
    )
    max_temperature: Temperature | None = Field(
        default=None,
        description="Requests with a higher temperature, or with none, are not cached; null: all "
        "temperatures are.",
    )
    obey_upstream_cache_control: bool = Field(
        default=False,
        description="Whether the backend's Cache-Control sets the lifetime. LLM backends tend to "
        "forbid all caching out of habit. What it marks as private is kept only where `scope.by` "
        "is `credential`.",
    )
    store_truncated: bool = Field(
        default=False,
        description="Whether answers cut short by a token limit or a content filter are kept.",
    )
    store_tool_calls: bool = Field(
        default=True, description="Whether answers that call tools are kept."
    )
    json_without_usage: bool = Field(
        default=False,
        description="Whether a stream that was stored without its token counts may answer a "
        "request for a JSON document, which then lacks `usage`.",
    )
    replay_chunk_delay_s: Seconds = Field(
        default=0.0,
        description="Pause between the events of a stream that is replayed; 0: all at once.",
    )
    inert_fields: tuple[str, ...] = Field(
        default=(),
        description="Further fields of the body that never change an answer, such as `user` or "
        "`metadata`. A RAG backend may well read them.",
    )
    inert_headers: tuple[HeaderName, ...] = Field(
        default=(), description="Further request headers that never change an answer."
    )
    keyed_headers: tuple[HeaderName, ...] = Field(
        default=(),
        description="Request headers that do change the answer, although they are usually inert.",
    )
    inert_cookies: tuple[CookieName, ...] = Field(
        default=_ROUTING_COOKIES,
        description="Cookies that never change an answer. A reply that sets no others is kept, "
        "without them.",
    )
    admission: Admission = Field(
        default_factory=Admission, description="Which answers are kept at all."
    )
    scope: Scope = Field(default_factory=Scope, description="Whose answers may be shared.")
    negative: Negative = Field(
        default_factory=Negative,
        description="Errors and empty answers that are kept for a moment, so that who repeats "
        "himself is told the same without the backend being asked.",
    )
    rules: tuple[Rule, ...] = Field(
        default=(),
        description="What differs for some paths, models or protocols. All rules that match apply, "
        "in the order given, so the later one wins.",
        examples=[
            [
                {"path": "/v1/embeddings", "ttl_s": "7d"},
                {"model": "gpt-4o-*", "ttl_s": "10m", "stale_if_error_s": "1h"},
            ]
        ],
    )

    @property
    def kept_statuses(self) -> tuple[int, ...]:
        """The statuses of errors that may be kept, given whose answers are shared."""
        told_to_one = self.scope.by == "credential"
        return self.negative.statuses if told_to_one or self.negative.shared else ()

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        both = sorted(set(self.inert_headers) & set(self.keyed_headers))
        if both:
            raise conflict(
                f"{', '.join(both)} cannot be both inert and keyed",
                "keyed_headers",
                "inert_headers",
            )
        return self


class Flights(Section):
    """Requests for the same answer at the same time: one asks the backend, all hear it."""

    wait_timeout_s: SomeSeconds = Field(
        default=90.0,
        description="How long a request waits for another's answer to begin, before it asks for "
        "itself.",
    )
    stall_timeout_s: SomeSeconds = Field(
        default=120.0,
        description="How long a flight may make no progress before newcomers start another; at "
        "least `wait_timeout_s`.",
    )
    max_flights: SomeCount = Field(default=10_000, description="Flights at once.")
    max_followers: Count = Field(default=10_000, description="Requests that share one flight.")
    max_flight_bytes: Bytes = Field(
        default=16 * _MIB, description="What is kept of one answer while it comes."
    )
    max_total_bytes: Bytes = Field(
        default=256 * _MIB, description="What is kept of all answers while they come."
    )
    lag_limit_bytes: Bytes = Field(
        default=8 * _MIB,
        description="How far a slow reader may lag behind the fastest of an answer too long to be "
        "kept whole. Half of it is his in any case; of the other half, what the fastest has yet to "
        "read is taken off.",
    )
    orphan_grace_s: Seconds = Field(
        default=1.0,
        description="How long a flight that all clients have left goes on before its answer "
        "begins.",
    )
    orphan_budget_s: Seconds = Field(
        default=30.0,
        description="How long a flight that all clients have left may go on to be stored.",
    )
    max_orphans: Count = Field(default=32, description="Such flights at once.")
    hit_for_miss_s: Seconds = Field(
        default=120.0,
        description="For how long a key whose answer could not be shared is not waited for.",
    )
    hit_for_miss_max: Count = Field(default=10_000, description="Such keys at once.")
    elections: Count = Field(
        default=1, description="Further attempts when the backend could not be reached."
    )
    max_refreshes: Count = Field(
        default=16, description="Stale entries fetched anew in the background at once."
    )

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.wait_timeout_s > self.stall_timeout_s:
            raise conflict(
                "`stall_timeout_s` must not be shorter than `wait_timeout_s`, or "
                "newcomers would overtake those who wait",
                "stall_timeout_s",
                "wait_timeout_s",
            )
        if self.max_flight_bytes > self.max_total_bytes:
            raise conflict(
                "`max_flight_bytes` must not be more than `max_total_bytes`",
                "max_flight_bytes",
                "max_total_bytes",
            )
        return self
