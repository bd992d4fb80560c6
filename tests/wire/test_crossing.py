"""Header fields as they cross the proxy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.model.errors import ProtocolViolation
from proxy.model.headers import Names, Received
from proxy.model.message import Headers, Request
from proxy.wire.by_names import ByNames
from proxy.wire.crossing import Forwarding, InboundFields, OutboundFields
from proxy.wire.headers import HOP_BY_HOP

Pairs = list[tuple[str, str]]
ONWARD = OutboundFields(pseudonym="me")
INBOUND = InboundFields()


class Nothing:
    """No body. Implements ``Body``."""

    length = 0

    async def whole(self, limit: int) -> bytes | None:
        return b""

    async def pieces(self) -> AsyncIterator[bytes]:
        return
        yield b""  # makes this a generator


def asking(*pairs: tuple[str, str], method: str = "POST", peer: str = "10.0.0.7") -> Request:
    return Request(method, "/", "", Headers(pairs), Nothing(), peer, "https")


def sent(*pairs: tuple[str, str], **settings: Any) -> Pairs:
    """What goes upstream for a request with these fields, but for Via."""
    trusted = settings.pop("trusted_peer", False)
    onward = OutboundFields(pseudonym="sidecache", **settings)
    headers = onward(asking(*pairs), trusted_peer=trusted)
    assert onward(asking(*pairs), trusted_peer=trusted) == headers  # as it is remembered
    return [pair for pair in headers if pair[0].lower() != "via"]


def test_end_to_end_fields_go_on_in_their_order_and_spelling() -> None:
    fields = [("authorization", "Bearer k"), ("X-User-Id", "7"), ("aCCept", "*/*"), ("X-B", "")]
    assert sent(*fields) == fields


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP - {"upgrade", "connection"}))
def test_fields_of_the_connection_end_here(name: str) -> None:
    assert sent((name.title(), "x"), ("X-A", "1")) == [("X-A", "1")]


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "Expect",
        "Content-Length",
        "X-Cache-Control",
        "X-Cache-TTL",
        "x-cache-namespace",
        "X-Cache-Tags",
    ],
)
def test_what_is_written_anew_or_obeyed_here_does_not_go_on(name: str) -> None:
    assert sent((name, "x"), ("X-A", "1")) == [("X-A", "1")]


@pytest.mark.parametrize("name", ["Transfer_Encoding", "content_length", "X_Forwarded_For", "HOST"])
def test_a_name_that_cgi_would_take_for_another_does_not_slip_through(name: str) -> None:
    assert sent((name, "x")) == []


def test_an_underscore_alone_is_no_reason_to_drop_or_rename_a_field() -> None:
    fields = [("X-Tag", "1"), ("x_tag", "2"), ("user_id", "3")]
    assert sent(*fields) == fields


def test_every_connection_field_nominates_and_each_is_a_list() -> None:
    fields = [
        ("Connection", "x-one , X-Two"),
        ("X-One", "1"),
        ("connection", "close,x-three"),
        ("x-two", "2"),
        ("X-Three", "3"),
        ("X-Four", "4"),
    ]
    assert sent(*fields) == [("X-Four", "4")]


def test_a_nominated_field_ends_here_whatever_is_in_its_name() -> None:
    fields = [("Connection", "x_one"), ("X_One", "1"), ("X-One", "2")]
    assert sent(*fields) == [("X-One", "2")]


def test_via_is_appended_to_whatever_form_it_came_in() -> None:
    assert ONWARD(asking()).all("via") == ("1.1 me",)
    fields = [("Via", "1.0 a, 1.1 b (x)"), ("VIA", "2 c")]
    headers = ONWARD(asking(*fields))
    assert headers.all("via") == ("1.0 a, 1.1 b (x), 2 c, 1.1 me",)


def test_repeated_names_get_one_spelling() -> None:
    fields = [("X-Tag", "1"), ("x-tag", "2"), ("X-TAG", "3"), ("Cookie", "a"), ("cookie", "b")]
    assert sent(*fields) == [
        ("X-Tag", "1"),
        ("X-Tag", "2"),
        ("X-Tag", "3"),
        ("Cookie", "a"),
        ("Cookie", "b"),
    ]


def test_names_to_drop_are_dropped_in_any_spelling() -> None:
    assert sent(("X-Tenant", "1"), ("x_tenant", "2"), drop=frozenset({"x-tenant"})) == []


def test_identity_can_be_asked_for_in_place_of_what_the_client_accepts() -> None:
    field = ("Accept-Encoding", "gzip, br")
    assert sent(field) == [field]
    assert sent(field, accept_identity=True) == [("Accept-Encoding", "identity")]
    assert sent(accept_identity=True) == [("Accept-Encoding", "identity")]
    assert sent(("accept_encoding", "gzip"), accept_identity=True) == sent(accept_identity=True)


@pytest.mark.parametrize(
    "name",
    [
        "X-HTTP-Method-Override", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-For", "Forwarded",
        "X-Forwarded-Prefix", "X-Real-IP", "True-Client-IP",
    ],
)  # fmt: skip
def test_who_is_not_trusted_cannot_speak_for_others(name: str) -> None:
    assert sent((name, "x")) == []
    assert sent((name, "x"), trusted_peer=True) == [(name, "x")]


OURS = [
    ("X-Forwarded-For", "10.0.0.7"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "api.test"),
]


THEIRS = [
    ("x-forwarded-for", "1.2.3.4"),
    ("X-Forwarded-Proto", "http"),
    ("X-Forwarded-Host", "front.test"),
    ("X-Real-IP", "1.2.3.4"),
]


HOST = ("Host", "api.test")


@pytest.mark.parametrize(
    ("forwarded", "trusted", "came", "goes"),
    [
        ("off", False, THEIRS, []),
        ("off", True, THEIRS, THEIRS),
        ("set", False, [], OURS),
        ("set", False, THEIRS, OURS),
        ("set", True, THEIRS, OURS),
        ("append", False, THEIRS, OURS),
        ("append", True, [], OURS),
        (
            "append",
            True,
            THEIRS,
            [
                ("X-Real-IP", "1.2.3.4"),
                ("X-Forwarded-For", "1.2.3.4, 10.0.0.7"),
                ("X-Forwarded-Proto", "http"),
                ("X-Forwarded-Host", "front.test"),
            ],
        ),
    ],
)
def test_attribution_is_as_the_setting_says(
    forwarded: Forwarding, trusted: bool, came: Pairs, goes: Pairs
) -> None:
    assert sent(HOST, *came, forwarded=forwarded, trusted_peer=trusted) == goes


def test_a_peer_without_an_address_is_not_made_up() -> None:
    headers = OutboundFields(pseudonym="me", forwarded="set")(asking(peer=""))
    assert headers.index() == {"x-forwarded-proto": "https", "via": "1.1 me"}


def test_max_forwards_counts_down_where_it_means_something() -> None:
    def left(method: str, value: str) -> str:
        request = asking(("Max-Forwards", value), method=method)
        return ONWARD(request).get("max-forwards")

    assert (left("OPTIONS", "3"), left("OPTIONS", "0"), left("GET", "3")) == ("2", "0", "3")
    assert left("OPTIONS", "many") == "many"


def test_an_upgrade_goes_on_with_the_protocols_that_can_be_tunnelled() -> None:
    fields = [
        ("Connection", "keep-alive, Upgrade, x-a"),
        ("Upgrade", "h2c, websocket, TLS/1.0, chat/2"),
        ("X-A", "1"),
        ("Sec-WebSocket-Key", "k"),
    ]
    assert sent(*fields) == [
        ("Sec-WebSocket-Key", "k"),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket, chat/2"),
    ]


def test_of_a_response_everything_goes_on_but_framing_and_the_connection() -> None:
    came = [
        ("Date", "d"),
        ("transfer-encoding", "chunked"),
        ("Content-Length", "5"),
        ("Connection", "X-Hop, Cache-Control"),
        ("x-hop", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Trailer", "x"),
        ("Cache-Control", "max-age=60"),
        ("Set-Cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("X_Odd", "1"),
        ("Via", "1.1 b"),
    ]
    assert inbound(came).pairs == (
        ("Date", "d"),
        ("Cache-Control", "max-age=60"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("X_Odd", "1"),
        ("Via", "1.1 b"),
    )


FIELDS = st.lists(
    st.tuples(
        st.sampled_from(["X-A", "x-a", "X-B", "TE", "Connection", "Upgrade", "Host", "Set-Cookie"]),
        st.sampled_from(["", "a", "x-a", "X-B, close", "upgrade", "websocket"]),
    )
)


@given(FIELDS)
def test_nothing_is_invented_and_order_is_kept(fields: Pairs) -> None:
    came = [(name.lower(), value) for name, value in fields]
    for kept in (inbound(fields), ONWARD(asking(*fields))):
        goes = [(name.lower(), value) for name, value in kept]
        theirs = [pair for pair in goes if pair[0] not in {"via", "connection", "upgrade"}]
        rest = iter(came)
        assert all(pair in rest for pair in theirs)


@given(FIELDS)
def test_filtering_twice_changes_nothing_more(fields: Pairs) -> None:
    once = inbound(fields)
    assert inbound(once) == once


@pytest.mark.parametrize("value", ["9" * 5000, "\u0663", "-1", "x"])
def test_a_max_forwards_that_is_no_plain_number_is_passed_on_as_it_is(value: str) -> None:
    request = Request("OPTIONS", "/", "", Headers([("Max-Forwards", value)]), Nothing())
    assert ONWARD(request).get("max-forwards") == value


def inbound(fields: Iterable[tuple[str, str]]) -> Headers:
    fields = list(fields)
    names, values = tuple(name.encode() for name, _ in fields), [value for _, value in fields]
    assert INBOUND.all(names, values).pairs == tuple(fields)
    return INBOUND(names, values)


@given(FIELDS)
def test_fields_cross_alike_whether_their_names_came_before_or_not(fields: Pairs) -> None:
    assert ONWARD(asking(*fields)) == OutboundFields(pseudonym="me")(asking(*fields))
    received = Received(Names.of(name for name, _ in fields), [value for _, value in fields])
    assert ONWARD(asking(*fields)._replace(headers=received)) == ONWARD(asking(*fields))
    names, values = tuple(name.encode() for name, _ in fields), [value for _, value in fields]
    assert INBOUND(names, values) == InboundFields()(names, values)


def test_a_trace_of_the_proxys_own_takes_the_place_of_the_one_that_came() -> None:
    came = asking(("TraceParent", "theirs"), ("tracestate", "t"), ("X-A", "1"))
    assert ONWARD(came).index() == {
        "traceparent": "theirs", "tracestate": "t", "x-a": "1", "via": "1.1 me",
    }  # fmt: skip
    ours = came._replace(trace=(("traceparent", "ours"),))
    assert ONWARD(ours).index() == {"x-a": "1", "traceparent": "ours", "via": "1.1 me"}


def test_names_are_remembered_within_bounds() -> None:
    made: list[tuple[str, ...]] = []

    def spell(names: tuple[str, ...]) -> int:
        made.append(names)
        return len(names)

    known = ByNames(spell)
    assert [known(("a", "b")), known(("a", "b")), known(())] == [2, 2, 0]
    assert made == [("a", "b"), ()]
    for names in (("a",) * 65, ("x" * 1025,)):
        assert known(names) == len(names)
    assert len(known) == 2
    for number in range(300):
        known((str(number),))
    assert len(known) <= 256


def test_no_field_of_a_response_has_a_name_with_control_characters() -> None:
    for name in (b"X-A\n", b"X\x00", b"X\x7f"):
        with pytest.raises(ProtocolViolation):
            INBOUND((b"X-B", name), ["1", "2"])
