"""The key: equal exactly when the questions are, and never shared by callers who may not share."""

from __future__ import annotations

import copy
import random
import tracemalloc
from collections.abc import AsyncIterator

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from support.cranked import Given
from support.documents import chances, objects, picture, small_documents, spell
from support.properties import unhurried

from proxy.dialects.openai_chat import OpenAIChat
from proxy.key import KeyRules, ScopeBy, Scoping
from proxy.model.entry import CacheKey
from proxy.model.message import Headers, Request
from proxy.model.query import Controls, Form, Query
from proxy.wire.strict_json import canonical, loads

SECRET = b"sixteen bytes or"
RULES = KeyRules(SECRET)
SHARED = KeyRules(SECRET, scoping=Scoping(ScopeBy.SHARED))
BY_TENANT = KeyRules(SECRET, scoping=Scoping(ScopeBy.HEADER, "x-tenant"))
BODY = b'{"messages":[{"content":"hi","role":"user"}],"model":"m"}'


class NoBody:
    """Keys are made of the query; nothing may read the body again. Implements ``Body``."""

    length = 0

    async def whole(self, limit: int) -> bytes | None:
        raise AssertionError("the body was read")

    def pieces(self) -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")


def request(
    *headers: tuple[str, str],
    method: str = "POST",
    path: str = "/v1/chat/completions",
    query_string: str = "",
) -> Request:
    return Request(method, path, query_string, Headers(headers), NoBody())


def asked(body: bytes = BODY, dialect: str = "openai_chat", namespace: str = "") -> Query:
    return Query(dialect, "m", Form(), body, b"", Controls(namespace=namespace))


def key(
    *headers: tuple[str, str],
    rules: KeyRules = RULES,
    body: bytes = BODY,
    upstream: str = "main",
    dialect: str = "openai_chat",
    namespace: str = "",
    method: str = "POST",
    path: str = "/v1/chat/completions",
    query_string: str = "",
) -> CacheKey:
    sent = request(*headers, method=method, path=path, query_string=query_string)
    return rules.key_of(sent, asked(body, dialect, namespace), upstream)


def raw(value: bytes) -> str:
    """A header's value as it arrives: bytes that are no UTF-8 become surrogates."""
    return value.decode("utf-8", "surrogateescape")


# -- golden vectors ----------------------------------------------------------------------------

# Workers, restarts and releases share what is stored under these digests. Who has to change one has
# changed what a key is: count SCHEMA up with it, so that no entry is found under an old meaning.
GOLDEN = [
    (key(), "anon", "42fa4732fb5efc2166248854687654ae01801cb61c400fd0f997cb8c98eadf51"),
    (
        key(
            ("Host", "localhost:8080"),
            ("Accept", "application/json"),
            ("Content-Type", "application/json"),
            ("Authorization", "Bearer sk-1234"),
            ("X-User-Id", "42"),
            ("Cookie", "a=1; b=2"),
            ("User-Agent", "curl/8"),
            query_string="api-version=2024-10-21",
            namespace="tests",
        ),
        "f18c9106241103331f1c2fad07af3ee2",
        "83a5bf79ed9716f2bb9117f87c73a706f51d3b750cd81ff665b41f47e525ee83",
    ),
    (
        key(
            ("X-Tenant", raw(b"caf\xc3\xa9 \xff")),
            ("X-Twice", "b"),
            ("x-twice", "a"),
            rules=BY_TENANT,
            body='["\xe9"]'.encode(),
        ),
        "1d8b519533df98e2f2b6e3c07f6b599f",
        "bd5cbf3ba5673dcbb4478b2ab4a6f7a3084ffa2332ab65c55a1bcbc09ac68887",
    ),
    (
        key(("X-Api-Key", "k"), rules=SHARED, query_string="key=k"),
        "shared",
        "6b124a3108a2e7002a2265ed927a543b27bb1abf46e25aadb8441915a465b1e9",
    ),
]


@pytest.mark.parametrize(("made", "scope", "digest"), GOLDEN)
def test_the_key_of_a_request_never_changes(made: CacheKey, scope: str, digest: str) -> None:
    assert (made.scope, made.digest.hex()) == (scope, digest)


# -- what is asked -----------------------------------------------------------------------------

bodies = objects(small_documents)


def parts_of(document: object) -> list[tuple[object, object]]:
    """Every container in ``document`` with each of its names or numbers."""
    own: list[tuple[object, object]] = []
    if isinstance(document, dict):
        own = [(document, name) for name in document]
        inner = list(document.values())
    elif isinstance(document, list):
        own = [(document, number) for number in range(len(document))]
        inner = document
    else:
        inner = []
    return own + [found for value in inner for found in parts_of(value)]


@unhurried
@given(bodies, chances, st.sampled_from(["change", "add", "remove"]), small_documents)
def test_any_change_to_the_body_changes_the_key_and_its_spelling_does_not(
    body: object, chance: random.Random, kind: str, value: object
) -> None:
    changed: object = copy.deepcopy(body)
    places = parts_of(changed)
    if kind == "add" or not places:
        containers = [changed, *(c[n] for c, n in places if isinstance(c[n], dict | list))]  # type: ignore[index] # a container
        where = chance.choice(containers)
        if isinstance(where, dict):
            where["unheard of"] = value
        else:
            assert isinstance(where, list)
            where.insert(chance.randint(0, len(where)), value)
    else:
        container, name = chance.choice(places)
        if kind == "change":
            container[name] = value  # type: ignore[index] # a container
        else:
            del container[name]  # type: ignore[attr-defined] # a container
    assume(picture(body) != picture(changed))
    one, same, other = (
        key(body=canonical(loads(spell(document, chance).encode())))
        for document in (body, body, changed)
    )
    assert one == same
    assert one != other


@unhurried
@given(bodies, small_documents, chances)
@example({}, None, random.Random(0))
def test_a_field_no_dialect_has_heard_of_changes_the_key(
    body: object, value: object, chance: random.Random
) -> None:
    asking: dict[str, object] = {"model": "m", "messages": [{"role": "user", "content": "?"}]}
    extra = {**asking, "x_rag": {"filter": body, "of": value}}
    dialect = OpenAIChat()
    plain, more, again = (
        dialect.read(request(), spell(document, chance).encode())
        for document in (asking, extra, extra)
    )
    assert isinstance(plain, Query)
    assert isinstance(more, Query)
    assert isinstance(again, Query)
    assert RULES.key_of(request(), more, "u") == RULES.key_of(request(), again, "u")
    assert RULES.key_of(request(), more, "u") != RULES.key_of(request(), plain, "u")


@pytest.mark.parametrize(
    "other",
    [
        {"method": "PUT"},
        {"path": "/v1/completions"},
        {"path": "/V1/chat/completions"},
        {"path": "/v1/chat%2Fcompletions"},
        {"query_string": "a=1"},
        {"query_string": "key=1"},
        {"upstream": "other"},
        {"dialect": "rag_json"},
        {"namespace": "tests"},
        {"body": b"{}"},
        {"body": BODY + b" "},
        {"body": b""},
    ],
)
def test_any_other_part_of_the_question_changes_the_key(other: dict[str, str | bytes]) -> None:
    assert key(**other) != key()  # type: ignore[arg-type] # each of the type its name asks for


def test_the_order_of_the_query_string_counts() -> None:
    assert key(query_string="a=1&b=2") != key(query_string="b=2&a=1")


def test_namespaces_are_apart_wherever_they_were_asked_for() -> None:
    assert len({key(namespace=name).digest for name in ("", "a", "b", "a\x1fb", "\xe9")}) == 5


def test_equal_rules_in_another_process_make_equal_keys() -> None:
    one, other = KeyRules(SECRET), KeyRules(SECRET)
    key(("X-Stainless-OS", "Linux"), ("X-User-Id", "3"), rules=other)  # has learnt some names
    fields = (("Authorization", "Bearer a"), ("X-User-Id", "1"), ("X-Stainless-OS", "Linux"))
    assert key(*fields, rules=one) == key(*fields, rules=other)


def test_another_secret_makes_other_keys_and_other_scopes() -> None:
    one, other = (
        key(("Authorization", "Bearer a"), rules=KeyRules(secret))
        for secret in (SECRET, b"another, longer secret than a hash has bytes" * 3)
    )
    assert one.scope != other.scope
    assert one.digest != other.digest


def test_a_secret_too_short_to_keep_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 bytes"):
        KeyRules(b"fifteen bytes..")


# Pieces that look like lengths, so that only lengths that are right keep the parts apart.
pieces = st.text(st.sampled_from("01:a\xe9"), max_size=3)
questions = st.fixed_dictionaries(
    {
        "upstream": pieces,
        "dialect": pieces,
        "namespace": pieces,
        "method": pieces,
        "path": pieces,
        "query_string": pieces.filter(str.isascii),
        "body": pieces.map(str.encode),
    }
)
fields_of_requests = st.lists(
    st.tuples(st.sampled_from(["x", "x1", "y0:"]), pieces), max_size=3
).map(lambda fields: sorted(fields, key=lambda field: field[0]))


@unhurried
@given(questions, fields_of_requests, questions, fields_of_requests)
def test_what_moves_from_one_part_to_the_next_changes_the_key(
    one: dict[str, str],
    fields: list[tuple[str, str]],
    other: dict[str, str],
    other_fields: list[tuple[str, str]],
) -> None:
    equal = one == other and fields == other_fields
    assert (key(*fields, **one) == key(*other_fields, **other)) == equal  # type: ignore[arg-type] # bodies are bytes


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (key(upstream="ab", dialect="c"), key(upstream="a", dialect="bc")),
        (key(method="POST/", path="v1"), key(method="POST", path="/v1")),
        (key(path="/v1", query_string="a=1"), key(path="/v1a", query_string="=1")),
        (key(query_string="a", namespace="b"), key(query_string="ab", namespace="")),
        (key(("X-A", "b"), ("X-C", "d")), key(("X-A", "bX-C"), ("X-D", ""))),
        (key(("X-Ab", "c")), key(("X-A", "bc"))),
        (key(("X-A", "1"), ("X-B", "2")), key(("X-A", "2"), ("X-B", "1"))),
        (key(("X-A", "b{}"), body=b""), key(("X-A", "b"), body=b"{}")),
        (key(namespace="3:x-a1:b"), key(("X-A", "b"))),
    ],
)
def test_parts_that_make_one_text_together_make_two_keys(one: CacheKey, other: CacheKey) -> None:
    assert one.digest != other.digest


# -- headers -----------------------------------------------------------------------------------

KEYED = [
    "X-User-Id", "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups",
    "X-Forwarded-Client-Cert", "X-Forwarded-Prefix", "X-Auth-Request-User", "X-Remote-User",
    "CF-Access-Authenticated-User-Email", "CF-Access-Jwt-Assertion", "CF-IPCountry", "X-Tenant",
    "X-Amzn-Oidc-Identity", "X-Goog-Authenticated-User-Email", "X-Consumer-Id", "Accept-Language",
    "Origin", "Referer", "Range", "If-None-Match", "Content-Encoding", "Content-Language", "Prefer",
    "OpenAI-Organization", "OpenAI-Project", "OpenAI-Beta", "anthropic-version", "anthropic-beta",
    "Helicone-User-Id", "X-Knowledge-Base", "X-Http-Method-Override", "X-Original-Url", "X-Region",
    "X-Auth-Token", "X-Amz-Date", "X", "Sec-GPC", "Save-Data", "Date", "From",
    "X_User_Id", "X-Requested-With",
]  # fmt: skip
INERT = [
    "User-Agent", "DNT", "Priority", "Accept-Encoding", "Content-Length", "Transfer-Encoding",
    "Connection", "Keep-Alive", "TE", "Trailer", "Upgrade", "Expect", "Host", "Via", "Max-Forwards",
    "Proxy-Connection", "Proxy-Authorization", "Cache-Control", "Pragma", "X-Cache-Control",
    "X-Cache-TTL", "X-Cache-Namespace", "X-Request-Id", "Request-Id", "X-Correlation-Id",
    "X-Client-Request-Id", "Idempotency-Key", "X-Amzn-Trace-Id", "X-Cloud-Trace-Context",
    "X-Ms-Client-Request-Id", "CF-Ray", "X-Amz-Cf-Id", "X-Azure-Ref", "X-Appgw-Trace-Id",
    "X-Kong-Request-Id", "Fly-Request-Id", "traceparent", "tracestate", "b3", "uber-trace-id",
    "sentry-trace", "elastic-apm-traceparent", "newrelic", "langsmith-trace", "Forwarded",
    "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port",
    "X-Forwarded-By", "X-Forwarded-Server", "X-Forwarded-Scheme", "X-Real-IP", "X-Client-IP",
    "True-Client-IP", "X-Cluster-Client-IP", "CDN-Loop", "CF-Connecting-IP", "CF-Connecting-IPv6",
    "CF-Visitor", "CF-EW-Via", "CF-Worker", "X-Stainless-Lang", "x-stainless-retry-count",
    "X-B3-TraceId", "X-Datadog-Trace-Id", "X-Ot-Span-Context", "X-Envoy-Attempt-Count",
    "X-Istio-Attributes", "Sec-CH-UA", "Sec-Fetch-Mode", "X-Cache-Tags",
]  # fmt: skip


@pytest.mark.parametrize("name", KEYED)
def test_a_header_that_may_change_the_answer_changes_the_key(name: str) -> None:
    values = ["", "1", "2", "1 ", "application/json", "*/*", "\xe9", raw(b"\xff"), raw(b"\xfe")]
    keys = {key((name, value)).digest for value in values}
    assert len({key().digest, *keys}) == len(values) + 1
    assert not RULES.is_inert(name.lower())


@pytest.mark.parametrize("name", INERT)
def test_a_header_that_is_documented_to_be_inert_does_not_change_the_key(name: str) -> None:
    for value in ("", "1", "\xe9", raw(b"\xff")):
        assert key((name, value)) == key()
        assert key((name.upper(), value), ("X-A", "1")) == key(("X-A", "1"))
    assert RULES.is_inert(name.lower())


def test_no_header_counts_as_both_keyed_and_inert() -> None:
    assert not {name.lower() for name in KEYED} & {name.lower() for name in INERT}


def test_the_configuration_can_move_a_header_to_the_other_side() -> None:
    rules = KeyRules(
        SECRET,
        inert=frozenset({"x-session", "accept", "cookie", "authorization"}),
        keyed=frozenset({"user-agent", "x-stainless-lang", "authorization"}),
    )
    assert key(("X-Session", "1"), rules=rules) == key(rules=rules)
    assert key(("Accept", "text/html"), rules=rules) == key(rules=rules)
    assert key(("Cookie", "a=1"), rules=rules) == key(rules=rules)
    assert key(("User-Agent", "a"), rules=rules) != key(("User-Agent", "b"), rules=rules)
    assert key(("X-Stainless-Lang", "a"), rules=rules) != key(rules=rules)
    assert key(("X-Stainless-OS", "a"), rules=rules) == key(rules=rules)
    assert rules.is_inert("x-session")
    assert rules.is_inert("x-stainless-os")
    assert not rules.is_inert("x-stainless-lang")
    assert not rules.is_inert("user-agent")


@unhurried
@given(
    st.lists(
        st.tuples(st.sampled_from(["X-A", "X-B", "X-C", "Via", "User-Agent"]), pieces), max_size=6
    ),
    chances,
)
def test_headers_may_come_in_any_order_and_spelling(
    fields: list[tuple[str, str]], chance: random.Random
) -> None:
    names = list(dict.fromkeys(name for name, _ in fields))
    chance.shuffle(names)
    moved = [
        (chance.choice([name, name.upper(), name.lower()]), value)
        for moving in names
        for name, value in fields
        if name == moving
    ]
    assert key(*moved) == key(*fields)


def test_the_order_of_headers_with_one_name_counts() -> None:
    # A backend that takes the first, or the last, is asked another question.
    one, other = ("X-User-Id", "alice"), ("x-user-id", "bob")
    assert key(one, other) != key(other, one)
    assert key(one, other) != key(one)
    assert key(one, one) != key(one)
    assert key(one, ("Via", "1.1 a"), other) == key(("Host", "b"), one, other)


def test_an_empty_header_is_not_an_absent_one() -> None:
    assert key(("X-Beta", "")) != key()


def test_bytes_that_are_no_text_make_a_key_like_any_other() -> None:
    values = [b"\xff", b"\xc3\xa9", b"\xc3", b"\xed\xb3\xbf", b"", b"\xef\xbf\xbd"]
    assert len({key(("X-A", raw(value))).digest for value in values}) == len(values)
    names = [b"x-\xff", b"x-\xfe", b"x-"]
    assert len({key((raw(name), "1")).digest for name in names}) == len(names)


PLAIN = key()


@pytest.mark.parametrize(
    "value",
    [
        "*/*",
        "application/json",
        "application/*",
        "Application/JSON",
        "application/json, text/plain, */*",
        "application/json,text/event-stream",
        "application/json\t,  text/event-stream ",
        "*/*, text/plain",
    ],
)
def test_to_accept_json_before_all_else_says_nothing(value: str) -> None:
    assert key(("Accept", value)) == PLAIN


@pytest.mark.parametrize(
    "value",
    [
        "",
        "text/event-stream",
        "text/plain",
        "text/event-stream, application/json",
        "text/html, application/json",
        "application/json, text/html",
        "application/json;q=0, text/event-stream",
        "application/json; version=2",
        "*/*;q=0.1",
        "application/json, */*;q=0",
        "application/json,",
        "application/xml",
        "application/json\xa0",
    ],
)
def test_to_accept_anything_else_is_part_of_the_question(value: str) -> None:
    assert key(("Accept", value)) != PLAIN


def test_several_accept_fields_are_read_as_one() -> None:
    json_first = ("Accept", "application/json")
    assert key(json_first, ("accept", "text/plain")) == PLAIN
    assert key(json_first, ("Accept", "text/html")) != key(("Accept", "text/html"))
    assert key(("Accept", "text/plain"), json_first) != PLAIN


@pytest.mark.parametrize(
    "value",
    [
        "application/json",
        "Application/Json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
    ],
)
def test_a_body_that_is_called_json_is_just_that(value: str) -> None:
    assert key(("Content-Type", value)) == PLAIN


@pytest.mark.parametrize(
    "value",
    [
        "",
        "text/plain",
        "application/json; charset=latin-1",
        "application/json; profile=x",
        "application/vnd.api+json",
        "application/json, text/plain",
    ],
)
def test_a_body_that_is_called_anything_else_is_another_question(value: str) -> None:
    assert key(("Content-Type", value)) != PLAIN


def test_to_speak_any_language_says_nothing() -> None:
    assert key(("Accept-Language", "*")) == PLAIN
    for value in ("de", "*, de", "de, *;q=0.5", "*;q=0", ""):
        assert key(("Accept-Language", value)) != PLAIN


def test_several_content_types_are_no_json() -> None:
    one, other = ("Content-Type", "application/json"), ("Content-Type", "text/plain")
    assert len({k.digest for k in (key(), key(other), key(one, other), key(other, one))}) == 4


def test_cookies_count_except_those_that_find_the_way_back() -> None:
    rules = KeyRules(SECRET, inert_cookies=frozenset({"__cf_bm", "AWSALB"}))
    plain = key(rules=rules)
    assert key(("Cookie", "__cf_bm=x"), rules=rules) == plain
    assert key(("Cookie", "__cf_bm=x; AWSALB=y"), rules=rules) == plain
    assert key(("Cookie", ""), rules=rules) == plain
    sid = key(("Cookie", "sid=1"), rules=rules)
    assert sid != plain
    assert key(("Cookie", "__cf_bm=x; sid=1;AWSALB=y"), rules=rules) == sid
    assert key(("Cookie", "AWSALB=y"), ("Cookie", "sid=1"), rules=rules) == sid
    assert key(("Cookie", "sid=2"), rules=rules) != sid
    assert key(("Cookie", "__CF_BM=x"), rules=rules) != plain  # names of cookies have a case
    assert key(("Cookie", "__cf_bm"), rules=rules) == plain
    assert key(("Cookie", "x=__cf_bm=x"), rules=rules) != plain
    assert key(("Cookie", "sid=1\xa0"), rules=rules) != sid


def test_the_order_of_cookies_counts() -> None:
    assert key(("Cookie", "a=1; a=2")) != key(("Cookie", "a=2; a=1"))
    assert key(("Cookie", "a=1;a=2")) == key(("Cookie", "a=1; a=2"))


def test_baggage_counts_but_for_the_trace_context_in_it() -> None:
    assert key(("baggage", "sentry-trace_id=1,sentry-sampled=true")) == PLAIN
    alice = key(("baggage", "userId=alice"))
    assert alice != PLAIN
    assert key(("Baggage", "sentry-trace_id=2, userId=alice ,sentry-release=3")) == alice
    assert key(("baggage", "userId=bob,sentry-trace_id=2")) != alice


# -- whose answers -----------------------------------------------------------------------------

JWT = "Bearer eyJ" + "a" * 500


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([("Authorization", JWT + "b")], [("Authorization", JWT + "c")]),
        ([("Authorization", "Bearer a")], [("Authorization", "bearer a")]),
        ([("Authorization", "Bearer a")], [("Authorization", "Bearer a ")]),
        ([("Authorization", "a")], [("X-Api-Key", "a")]),
        ([("X-Api-Key", "a")], [("Api-Key", "a")]),
        ([("X-Api-Key", "a")], [("X-Goog-Api-Key", "a")]),
        ([("X-Api-Key", "a")], []),
        ([("X-Api-Key", "")], []),
        ([("X-Api-Key", "a")], [("X-Api-Key", "a"), ("X-Api-Key", "b")]),
        ([("X-Api-Key", "b"), ("X-Api-Key", "a")], [("X-Api-Key", "a"), ("X-Api-Key", "b")]),
        ([("X-Api-Key", "ab"), ("Api-Key", "c")], [("X-Api-Key", "a"), ("Api-Key", "bc")]),
        ([("X-Api-Key", raw(b"\xff"))], [("X-Api-Key", raw(b"\xfe"))]),
        ([("X-Api-Key", raw(b"\xc3\xa9"))], [("X-Api-Key", raw(b"\xc3"))]),
    ],
)
def test_callers_with_different_credentials_share_nothing(
    one: list[tuple[str, str]], other: list[tuple[str, str]]
) -> None:
    assert key(*one).scope != key(*other).scope
    assert key(*one).digest != key(*other).digest


@pytest.mark.parametrize("name", ["Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key"])
def test_every_header_that_may_hold_a_credential_makes_a_scope(name: str) -> None:
    assert key((name, "a")).scope not in {"anon", key((name, "b")).scope}
    assert key((name, "a"), rules=SHARED) == key(rules=SHARED)


def test_one_caller_has_one_scope_however_the_names_are_spelled() -> None:
    both = [("authorization", "a"), ("X-API-KEY", "b")]
    assert key(*both).scope == key(("x-api-key", "b"), ("Authorization", "a")).scope
    assert key(*both) == key(*reversed(both))


@pytest.mark.parametrize("rules", [RULES, BY_TENANT])
def test_callers_without_a_credential_are_all_anonymous(rules: KeyRules) -> None:
    assert key(("X-User-Id", "1"), rules=rules, query_string="a=key").scope == "anon"
    assert rules.scope_of(request()) == "anon"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("key=a", "key=b"),
        ("key=a", ""),
        ("key=a", "api_key=a"),
        ("key=a", "key=a&key=b"),
        ("key=", ""),
        ("KEY=a", "KEY=b"),
        ("k%65y=a", "k%65y=b"),
        ("api-key=a%20", "api-key=a"),
        ("access_token=%ff", "access_token=%fe"),
        ("access_token=%ff", "access_token=%ef%bf%bd"),
    ],
)
def test_a_credential_in_the_query_string_tells_callers_apart(one: str, other: str) -> None:
    assert key(query_string=one).scope != key(query_string=other).scope


def test_the_rest_of_the_query_string_says_nothing_about_the_caller() -> None:
    one, other = key(query_string="key=a&alt=sse"), key(query_string="alt=json&key=a")
    assert one.scope == other.scope
    assert one.digest != other.digest


def test_callers_who_share_still_ask_their_own_questions() -> None:
    one = key(("Authorization", "a"), ("X-User-Id", "1"), rules=SHARED)
    assert one == key(("Authorization", "b"), ("X-User-Id", "1"), rules=SHARED)
    assert one == key(("X-User-Id", "1"), rules=SHARED)
    assert one != key(("X-User-Id", "2"), rules=SHARED)
    assert one.scope == "shared"
    assert key(query_string="key=a", rules=SHARED) != key(query_string="key=b", rules=SHARED)


def test_callers_are_told_apart_by_the_header_that_is_named() -> None:
    def tenant(*headers: tuple[str, str]) -> CacheKey:
        return key(*headers, rules=BY_TENANT)

    a = tenant(("X-Tenant", "a"))
    assert a == tenant(("x-tenant", "a"), ("Authorization", "any"))
    assert a.scope != tenant(("X-Tenant", "b")).scope
    assert a.scope != tenant(("X-Tenant", "a"), ("X-Tenant", "b")).scope
    assert a.scope != tenant(("X-Tenant", "A")).scope


@pytest.mark.parametrize("missing", [[], [("X-Tenant", "")]])
def test_who_does_not_send_that_header_is_told_apart_by_credential(
    missing: list[tuple[str, str]],
) -> None:
    one, other, nobody = (
        key(*missing, *fields, rules=BY_TENANT)
        for fields in ([("Authorization", "a")], [("Authorization", "b")], [])
    )
    assert len({one.scope, other.scope, nobody.scope}) == 3
    assert len({one.digest, other.digest, nobody.digest}) == 3
    assert nobody.scope == "anon"
    assert key(*missing, rules=BY_TENANT, query_string="key=a").scope != "anon"


def test_a_tenant_cannot_name_itself_into_the_scope_of_a_credential() -> None:
    alone = key(("Authorization", "a"), rules=BY_TENANT)
    for value in ("a", "authorization", alone.scope, "anon", "shared", "13:authorization1:a"):
        assert key(("X-Tenant", value), rules=BY_TENANT).scope != alone.scope


@pytest.mark.parametrize("header", ["", "X-Tenant"])
def test_a_header_that_could_tell_nobody_apart_is_refused(header: str) -> None:
    with pytest.raises(ValueError, match="no header"):
        Scoping(ScopeBy.HEADER, header)


@unhurried
@given(
    st.lists(pieces, min_size=2, max_size=2, unique=True),
    st.sampled_from(["Authorization", "X-Tenant"]),
)
def test_two_tenants_never_share_a_key(values: list[str], name: str) -> None:
    rules = RULES if name == "Authorization" else BY_TENANT
    one, other = (key((name, value), rules=rules) for value in values)
    assert one.scope != other.scope
    assert one.digest != other.digest


@pytest.mark.parametrize("rules", [RULES, BY_TENANT, SHARED])
def test_scope_and_digest_reveal_nothing_of_the_credential(rules: KeyRules) -> None:
    credential = "sk-very-secret"
    made = key(("Authorization", credential), ("X-Tenant", credential), rules=rules)
    shown = made.scope.encode() + made.digest
    assert len(made.digest) == 32
    assert made.scope == "shared" or (len(made.scope) == 32 and int(made.scope, 16) >= 0)
    for part in (credential, credential[3:], "secret"):
        assert part.encode() not in shown
        assert part.encode().hex().encode() not in shown


def test_a_header_that_the_scope_is_made_of_is_not_left_out_of_the_key() -> None:
    # What a backend that says "Vary: Authorization" wants to know.
    assert not RULES.is_inert("authorization")
    assert not RULES.is_inert("x-api-key")
    assert SHARED.is_inert("authorization")
    assert BY_TENANT.is_inert("authorization")
    tenants_aside = KeyRules(
        SECRET, scoping=Scoping(ScopeBy.HEADER, "x-tenant"), inert=frozenset({"x-tenant"})
    )
    assert not tenants_aside.is_inert("x-tenant")
    one, other = (key(("X-Tenant", name), rules=tenants_aside) for name in "ab")
    assert one.digest != other.digest


def test_scope_is_part_of_the_digest() -> None:
    shared, anonymous = key(rules=SHARED), key()
    assert shared.digest != anonymous.digest


# -- memory ------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [20, 64, 8000])
def test_names_that_clients_make_up_are_not_remembered_without_bound(length: int) -> None:
    rules = KeyRules(SECRET)
    named = asked()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(100):
            fields = [(f"X-{number}-{n}-".ljust(length, "y"), "1") for n in range(100)]
            rules.key_of(request(*fields), named, "main")
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2 * 2**20


def test_a_key_is_the_same_before_and_after_its_names_were_forgotten() -> None:
    rules = KeyRules(SECRET)
    fields = [("X-User-Id", "1"), ("X-Stainless-OS", "Linux"), ("X-" + "y" * 100, "1")]
    before = key(*fields, rules=rules)
    for number in range(5000):
        key((f"X-{number}", "1"), rules=rules)
    assert key(*fields, rules=rules) == before == key(*fields)


# -- among which questions one in other words is looked for ------------------------------------

REST = b'{"messages":[{"content":null,"role":"user"}],"model":"m"}'


def namespace(
    *headers: tuple[str, str],
    rest: bytes = REST,
    rules: KeyRules = RULES,
    upstream: str = "main",
    path: str = "/v1/chat/completions",
    own: str = "",
    body: bytes = BODY,
) -> bytes:
    query = asked(body, namespace=own)
    return rules.namespace_of(request(*headers, path=path), query, upstream, rest)


def test_the_words_of_the_question_alone_do_not_change_the_namespace() -> None:
    assert len(namespace()) == 16
    assert namespace() == namespace(body=BODY.replace(b"hi", b"ho"))


@pytest.mark.parametrize(
    "other",
    [
        {"rest": REST.replace(b'"m"', b'"n"')},
        {"upstream": "other"},
        {"path": "/v2/chat/completions"},
        {"own": "mine"},
        {"rules": KeyRules(b"another sixteen b")},
    ],
)
def test_everything_else_does(other: dict[str, bytes]) -> None:
    assert namespace() != namespace(**other)


def test_callers_and_headers_that_count_have_namespaces_of_their_own() -> None:
    both = [("Authorization", "Bearer a"), ("Authorization", "Bearer b"), ("X-User-Id", "7")]
    assert len({namespace(), *(namespace(each) for each in both)}) == 4


def test_a_namespace_is_no_part_of_a_key() -> None:
    assert not key().digest.startswith(namespace(rest=BODY))


def test_an_alias_is_the_callers_own_and_says_what_it_is_for() -> None:
    one = RULES.alias_of("scope", b"n" * 16, "why?")
    assert one == RULES.alias_of("scope", b"n" * 16, "why?")
    others = [
        RULES.alias_of("scope", b"m" * 16, "why?"),
        RULES.alias_of("scope", b"n" * 16, "how?"),
        KeyRules(b"another sixteen b").alias_of("scope", b"n" * 16, "why?"),
    ]
    assert one.scope == "scope"
    assert len({one.digest, *(other.digest for other in others)}) == 4


# -- explained -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scoping", "headers", "fields"),
    [
        (Scoping(), [("Authorization", "a"), ("X-Api-Key", "b")], ("authorization", "x-api-key")),
        (Scoping(), [("X-Tenant", "a")], ()),
        (Scoping(ScopeBy.SHARED), [("Authorization", "a")], ()),
        (Scoping(ScopeBy.HEADER, "x-tenant"), [("Authorization", "a"), ("X-Tenant", "t")],
         ("x-tenant",)),
        (Scoping(ScopeBy.HEADER, "x-tenant"), [("Authorization", "a")], ("authorization",)),
    ],
)  # fmt: skip
def test_the_headers_that_make_the_scope_are_named(
    scoping: Scoping, headers: list[tuple[str, str]], fields: tuple[str, ...]
) -> None:
    rules = KeyRules(b"a secret of sixteen bytes", scoping=scoping)
    asked = Request("POST", "/", "", Headers(headers), Given(b""))

    assert rules.scope_fields(asked) == fields
    others = [pair for pair in headers if pair[0].lower() not in fields]
    less = asked._replace(headers=Headers(others))
    assert rules.scope_of(less) != rules.scope_of(asked) or not fields
