"""Request headers that are documented to change no answer: who asks, and by what way."""

from __future__ import annotations

from typing import Final

INERT: Final = frozenset(
    {
        # who asks, not what is asked
        "user-agent", "dnt", "priority",
        # what the wire takes care of
        "accept-encoding", "content-length", "transfer-encoding", "connection", "keep-alive", "te",
        "trailer", "upgrade", "expect", "host", "proxy-connection", "proxy-authorization",
        "max-forwards", "via",
        # orders to the cache; what they select is keyed elsewhere
        "cache-control", "pragma", "x-cache-control", "x-cache-ttl", "x-cache-namespace",
        "x-cache-tags", "x-cache-semantic", "x-cache-threshold", "x-cache-feedback",
        "x-cache-variants",
        # names of one attempt, never of a question
        "x-request-id", "request-id", "x-correlation-id", "x-client-request-id", "idempotency-key",
        "x-amzn-trace-id", "x-cloud-trace-context", "x-ms-client-request-id", "cf-ray",
        "x-amz-cf-id", "x-azure-ref", "x-appgw-trace-id", "x-kong-request-id", "fly-request-id",
        # trace context: W3C, B3, Jaeger, Sentry, Elastic, New Relic, LangSmith
        # (by name: Baggage has what the application put in, a user or a tenant, and counts)
        "traceparent", "tracestate", "b3", "uber-trace-id", "sentry-trace",
        "elastic-apm-traceparent", "newrelic", "langsmith-trace",
        # who passed it on
        # (by name: X-Forwarded-User and CF-Access-* say who somebody is, and count)
        "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port",
        "x-forwarded-by", "x-forwarded-server", "x-forwarded-scheme", "x-real-ip", "x-client-ip",
        "true-client-ip", "x-cluster-client-ip", "cdn-loop", "cf-connecting-ip", "cf-visitor",
        "cf-connecting-ipv6", "cf-ew-via", "cf-worker",
    }
)  # fmt: skip
INERT_PREFIXES: Final = (
    "x-stainless-", "x-b3-", "x-datadog-", "x-ot-span-", "x-envoy-", "x-istio-", "sec-ch-",
    "sec-fetch-",
)  # fmt: skip
