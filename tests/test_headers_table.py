"""Request headers, one by one: each is part of the question, ends here, or is known to be inert.

Each is sent with two values and left out once, with the same question otherwise, through the whole
proxy to a backend that notes what it is sent. Nothing that reaches the backend and is not in the
key may be missing from the list of inert headers in ``docs/headers.md``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum, auto
from pathlib import Path

import pytest
from support.cranked import posted
from support.openai_backend import Asked, OpenAIBackend
from support.proxied import Proxied, proxied
from support.raw_client import RawClient

from proxy.key import CREDENTIALS, KeyRules
from proxy.wire.crossing import OutboundFields
from proxy.wire.inert import INERT, INERT_PREFIXES
from proxy.wire.steering import Family, Steering

HEADERS = Path(__file__).parents[1] / "docs" / "headers.md"
MONDAY, TUESDAY = "Mon, 05 Jan 2026 00:00:00 GMT", "Tue, 06 Jan 2026 00:00:00 GMT"
SAYS_NOTHING = {"application/json"}  # as if the header were left out
BODY = b'{"model":"m","messages":[{"role":"user","content":"Why?"}]}'


class Fate(Enum):
    """What becomes of a header."""

    KEYED = auto()  # another value is another question
    STRIPPED = auto()  # the backend never sees it
    INERT = auto()  # the backend sees it, and it is documented to change nothing
    PASSED_BY = auto()  # the request is passed on, and its answer is not kept


KEYED, STRIPPED, INERT_, PASSED_BY = Fate.KEYED, Fate.STRIPPED, Fate.INERT, Fate.PASSED_BY

TABLE: list[tuple[str, str, str, Fate]] = [
    # who asks, by credential or by name
    ("Authorization", "Bearer one", "Bearer two", KEYED),
    ("X-Api-Key", "one", "two", KEYED),
    ("Api-Key", "one", "two", KEYED),
    ("X-Goog-Api-Key", "one", "two", KEYED),
    ("Proxy-Authorization", "Basic b25l", "Basic dHdv", STRIPPED),
    ("X-Amz-Security-Token", "one", "two", KEYED),
    ("X-User-Id", "1", "2", KEYED),
    ("X_User_Id", "1", "2", KEYED),
    ("X-Tenant-Id", "1", "2", KEYED),
    ("X-Org-Id", "1", "2", KEYED),
    ("X-Session-Id", "1", "2", KEYED),
    ("X-Auth-Request-User", "a", "b", KEYED),
    ("X-Remote-User", "a", "b", KEYED),
    ("X-Forwarded-User", "a", "b", KEYED),
    ("X-Forwarded-Email", "a@a.test", "b@b.test", KEYED),
    ("X-Forwarded-Access-Token", "a", "b", KEYED),
    ("X-Forwarded-Client-Cert", "Hash=a", "Hash=b", KEYED),
    ("X-Ms-Client-Principal", "a", "b", KEYED),
    ("X-Amzn-Oidc-Identity", "a", "b", KEYED),
    ("CF-Access-Authenticated-User-Email", "a@a.test", "b@b.test", KEYED),
    ("CF-Access-Jwt-Assertion", "a", "b", KEYED),
    ("CF-IPCountry", "NO", "SE", KEYED),
    ("Cookie", "session=1", "session=2", KEYED),
    ("Cookie", "__cf_bm=1", "__cf_bm=2", INERT_),
    ("From", "a@a.test", "b@b.test", KEYED),
    ("Origin", "https://a.test", "https://b.test", KEYED),
    ("Referer", "https://a.test", "https://b.test", KEYED),
    ("User-Agent", "OpenAI/Python 1", "OpenAI/JS 2", INERT_),
    ("DNT", "0", "1", INERT_),
    ("Priority", "u=1", "u=2", INERT_),
    ("X-Requested-With", "a", "b", KEYED),
    # what is asked for
    ("OpenAI-Organization", "org-1", "org-2", KEYED),
    ("OpenAI-Project", "proj-1", "proj-2", KEYED),
    ("OpenAI-Beta", "assistants=v1", "assistants=v2", KEYED),
    ("Anthropic-Version", "2023-01-01", "2023-06-01", KEYED),
    ("Anthropic-Beta", "context-1m", "tools-2", KEYED),
    ("Anthropic-Dangerous-Direct-Browser-Access", "true", "false", KEYED),
    ("Api-Version", "1", "2", KEYED),
    ("X-Goog-User-Project", "1", "2", KEYED),
    ("X-Model", "a", "b", KEYED),
    ("X-Unheard-Of", "a", "b", KEYED),
    ("Accept", "application/json", "text/plain", KEYED),
    ("Accept", "application/json", "*/*", INERT_),
    ("Accept-Language", "en", "nb", KEYED),
    ("Accept-Charset", "utf-8", "latin-1", KEYED),
    ("Accept-Encoding", "gzip", "br", STRIPPED),
    ("Prefer", "return=minimal", "wait=1", KEYED),
    ("Range", "bytes=0-1", "bytes=2-3", KEYED),
    ("If-Match", '"a"', '"b"', KEYED),
    ("If-None-Match", '"a"', '"b"', KEYED),
    ("If-Range", '"a"', '"b"', KEYED),
    ("If-Modified-Since", MONDAY, TUESDAY, KEYED),
    ("If-Unmodified-Since", MONDAY, TUESDAY, KEYED),
    ("Content-Encoding", "x-a", "x-b", PASSED_BY),
    ("Content-Language", "en", "nb", KEYED),
    ("Content-MD5", "a", "b", KEYED),
    ("Digest", "a", "b", KEYED),
    ("X-HTTP-Method-Override", "GET", "PUT", KEYED),
    ("X-HTTP-Method", "GET", "PUT", KEYED),
    ("X-Method-Override", "GET", "PUT", KEYED),
    ("X-Original-URL", "/a", "/b", KEYED),
    ("X-Rewrite-URL", "/a", "/b", KEYED),
    ("X-Forwarded-Prefix", "/a", "/b", KEYED),
    # orders to the cache
    ("Cache-Control", "max-age=600", "max-age=900", INERT_),
    ("Pragma", "a", "b", INERT_),
    ("X-Cache-Control", "max-age=600", "max-age=900", STRIPPED),
    ("X-Cache-TTL", "5m", "10m", STRIPPED),
    ("X-Cache-Namespace", "a", "b", KEYED),
    ("X-Cache-Tags", "a", "b", STRIPPED),
    ("X-Cache-Semantic", "on", "off", STRIPPED),
    ("X-Cache-Threshold", "0.8", "0.9", STRIPPED),
    ("X-Cache-Feedback", "right", "fine", STRIPPED),
    ("X-Cache-Variants", "1", "01", STRIPPED),
    ("CDN-Cache-Control", "max-age=1", "max-age=2", KEYED),
    # those of other gateways, whose words the settings do not name
    ("X-LiteLLM-Tags", "a", "b", KEYED),
    ("X-LiteLLM-Customer-Id", "a", "b", KEYED),
    ("HTTP-Referer", "https://a.test", "https://b.test", KEYED),
    ("X-Title", "a", "b", KEYED),
    ("X-OpenRouter-Cache", "true", "false", KEYED),
    ("Helicone-Auth", "Bearer a", "Bearer b", KEYED),
    ("Helicone-User-Id", "a", "b", KEYED),
    ("Helicone-Cache-Seed", "a", "b", KEYED),
    ("Helicone-Cache-Enabled", "true", "false", KEYED),
    ("CF-AIG-Authorization", "Bearer a", "Bearer b", KEYED),
    ("CF-AIG-Cache-Key", "a", "b", KEYED),
    ("CF-AIG-Metadata", '{"a":1}', '{"a":2}', KEYED),
    ("X-Portkey-Config", "pc-a", "pc-b", KEYED),
    ("X-Portkey-Virtual-Key", "a", "b", KEYED),
    ("X-Portkey-Cache-Namespace", "a", "b", KEYED),
    ("X-BF-VK", "a", "b", KEYED),
    ("X-BF-Cache-Key", "a", "b", KEYED),
    # names of one attempt
    ("X-Request-Id", "1", "2", INERT_),
    ("Request-Id", "1", "2", INERT_),
    ("X-Correlation-Id", "1", "2", INERT_),
    ("X-Client-Request-Id", "1", "2", INERT_),
    ("Idempotency-Key", "1", "2", INERT_),
    ("X-Amzn-Trace-Id", "1", "2", INERT_),
    ("X-Cloud-Trace-Context", "1", "2", INERT_),
    ("X-Ms-Client-Request-Id", "1", "2", INERT_),
    ("CF-Ray", "1", "2", INERT_),
    ("X-Amz-Cf-Id", "1", "2", INERT_),
    ("X-Azure-Ref", "1", "2", INERT_),
    ("X-AppGw-Trace-Id", "1", "2", INERT_),
    ("X-Kong-Request-Id", "1", "2", INERT_),
    ("Fly-Request-Id", "1", "2", INERT_),
    ("X-Stainless-Retry-Count", "0", "1", INERT_),
    # trace context
    ("Traceparent", "00-a-b-01", "00-c-d-01", INERT_),
    ("Tracestate", "a=1", "a=2", INERT_),
    ("B3", "a", "b", INERT_),
    ("X-B3-TraceId", "a", "b", INERT_),
    ("Uber-Trace-Id", "a", "b", INERT_),
    ("Sentry-Trace", "a", "b", INERT_),
    ("Elastic-APM-Traceparent", "a", "b", INERT_),
    ("NewRelic", "a", "b", INERT_),
    ("LangSmith-Trace", "a", "b", INERT_),
    ("X-Datadog-Trace-Id", "1", "2", INERT_),
    ("X-OT-Span-Context", "a", "b", INERT_),
    ("Baggage", "sentry-trace_id=1", "sentry-trace_id=2", INERT_),
    ("Baggage", "user=1", "user=2", KEYED),
    # who passed it on
    ("Forwarded", "for=192.0.2.1", "for=192.0.2.2", STRIPPED),
    ("X-Forwarded-For", "192.0.2.1", "192.0.2.2", STRIPPED),
    ("X_Forwarded_For", "192.0.2.1", "192.0.2.2", KEYED),
    ("X-Forwarded-Host", "a.test", "b.test", STRIPPED),
    ("X-Forwarded-Proto", "ws", "wss", STRIPPED),
    ("X-Forwarded-Port", "1", "2", STRIPPED),
    ("X-Forwarded-By", "a", "b", STRIPPED),
    ("X-Forwarded-Server", "a", "b", STRIPPED),
    ("X-Forwarded-Scheme", "http", "https", STRIPPED),
    ("X-Real-IP", "192.0.2.1", "192.0.2.2", STRIPPED),
    ("X-Client-IP", "192.0.2.1", "192.0.2.2", STRIPPED),
    ("True-Client-IP", "192.0.2.1", "192.0.2.2", STRIPPED),
    ("X-Cluster-Client-IP", "192.0.2.1", "192.0.2.2", STRIPPED),
    ("CF-Connecting-IP", "192.0.2.1", "192.0.2.2", STRIPPED),
    ("CF-Connecting-IPv6", "2001:db8::1", "2001:db8::2", STRIPPED),
    ("CF-Visitor", '{"scheme":"http"}', '{"scheme":"https"}', STRIPPED),
    ("CDN-Loop", "a", "b", INERT_),
    ("CF-EW-Via", "1", "2", INERT_),
    ("CF-Worker", "a.test", "b.test", INERT_),
    ("Via", "1.1 a", "1.1 b", INERT_),
    ("Max-Forwards", "5", "6", INERT_),
    ("X-Envoy-External-Address", "192.0.2.1", "192.0.2.2", INERT_),
    ("X-Istio-Attributes", "a", "b", INERT_),
    ("Sec-CH-UA", "a", "b", INERT_),
    ("Sec-Fetch-Mode", "cors", "no-cors", INERT_),
    # one connection's own
    ("Connection", "keep-alive", "X-None", STRIPPED),
    ("Keep-Alive", "timeout=5", "timeout=6", STRIPPED),
    ("Proxy-Connection", "keep-alive", "close", STRIPPED),
    ("TE", "trailers", "trailers;q=0.5", STRIPPED),
    ("Trailer", "X-A", "X-B", STRIPPED),
]  # fmt: skip

# They say where a message ends and what comes next, so that no two of them can be tried at will.
FRAMING = {"content-length", "transfer-encoding", "upgrade", "expect", "host"}


def documented() -> set[str]:
    """The names in the list of inert headers; a family ends with ``*``."""
    section = HEADERS.read_text().partition("\n## Headers that do not count\n")[2]
    rows = re.findall(r"^\| (`.*?) \|", section.partition("\n## ")[0], re.MULTILINE)
    return {name.lower() for row in rows for name in re.findall(r"`([^`]+)`", row)}


def is_documented(name: str, among: Iterable[str]) -> bool:
    return any(name.startswith(each[:-1]) if each.endswith("*") else name == each for each in among)


async def put(proxy: Proxied, *headers: tuple[str, str]) -> None:
    """Ask the same question, with these headers."""
    own = {"host": "p.test", "content-type": "application/json", "content-length": str(len(BODY))}
    fields = [*own.items(), *headers]
    text = "".join(f"{name}: {value}\r\n" for name, value in fields)
    async with await RawClient.connect(proxy.address) as client:
        await client.send(f"POST /v1/chat/completions HTTP/1.1\r\n{text}\r\n".encode() + BODY)
        assert (await client.response()).status == 200
    await proxy.landed()


def saw(asked: Asked, name: str, value: str) -> bool:
    """Whether the backend was sent a header with this in it."""
    return value in asked.headers.get(name.lower(), "")


@pytest.mark.parametrize(
    ("name", "one", "two", "fate"), TABLE, ids=[f"{row[0]} {row[3].name}" for row in TABLE]
)
async def test_a_header_changes_the_question_or_ends_here_or_is_known_to_be_inert(
    name: str, one: str, two: str, fate: Fate
) -> None:
    async with OpenAIBackend() as backend, proxied(backend.url) as proxy:
        await put(proxy, (name, one))
        await put(proxy, (name, two))
        await put(proxy)

    verdicts, sent = proxy.verdicts, backend.asked
    match fate:
        case Fate.PASSED_BY:
            assert verdicts == ["BYPASS", "BYPASS", "MISS"]
        case Fate.KEYED:
            assert verdicts == ["MISS", "MISS", "HIT" if one in SAYS_NOTHING else "MISS"]
            if saw(sent[0], name, one):
                assert saw(sent[1], name, two)
        case Fate.STRIPPED:
            assert verdicts == ["MISS", "HIT", "HIT"]
            assert not saw(sent[0], name, one)
        case Fate.INERT:
            assert verdicts == ["MISS", "HIT", "HIT"]
            assert saw(sent[0], name, one)
            assert is_documented(name.lower(), documented())


def test_the_table_has_every_header_that_is_left_out_of_the_key_and_many_that_are_not() -> None:
    tried = {row[0].lower() for row in TABLE}

    assert INERT - tried == FRAMING
    for prefix in INERT_PREFIXES:
        assert any(name.startswith(prefix) for name in tried), prefix
    assert set(CREDENTIALS) <= tried
    assert len({row[0].lower() for row in TABLE if row[3] is Fate.KEYED}) >= 40


def test_what_frames_a_message_is_written_anew_for_the_backend() -> None:
    for name in FRAMING:
        sent = OutboundFields(pseudonym="p")(posted(BODY, (name, "a")))
        assert name not in sent
        assert KeyRules(b"sixteen bytes or").is_inert(name)


def test_the_documented_list_is_the_one_in_force() -> None:
    in_force = set(INERT) | {f"{prefix}*" for prefix in INERT_PREFIXES}
    plain = {"accept", "accept-language", "content-type", "cookie", "baggage"}  # by their values

    assert documented() - plain == in_force
    assert plain <= documented()


NAMED = sorted((family, name) for family in Family for name in Steering([family]).names)


@pytest.mark.parametrize("value", ["true", "a", "600", "0.9"])
@pytest.mark.parametrize(("family", "name"), NAMED, ids=[name for _, name in NAMED])
async def test_a_word_of_another_gateway_that_is_named_ends_here(
    family: Family, name: str, value: str
) -> None:
    async with (
        OpenAIBackend() as backend,
        proxied(backend.url, cache={"compatibility": [family.value]}) as proxy,
    ):
        await put(proxy, (name, value))
        await put(proxy, (name, value))

    assert [asked for asked in backend.asked if name in asked.headers] == []


def test_headers_that_a_setting_names_change_sides() -> None:
    rules = KeyRules(
        b"sixteen bytes or",
        inert=frozenset({"x-user-id"}),
        keyed=frozenset({"user-agent", "x-stainless-os"}),
    )

    assert rules.is_inert("x-user-id")
    assert rules.is_inert("x-stainless-arch")
    assert not rules.is_inert("user-agent")
    assert not rules.is_inert("x-stainless-os")
