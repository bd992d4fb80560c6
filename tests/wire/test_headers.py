"""What an intermediary does to header fields."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.model.message import Headers
from proxy.wire.headers import HOP_BY_HOP, UNREMOVABLE, nominated, passed_before, tunnelled

Pairs = list[tuple[str, str]]


@pytest.mark.parametrize("name", ["Host", "Authorization", "Cache-Control", "Via", "Age", "Cookie"])
def test_no_nomination_removes_what_all_rely_on(name: str) -> None:
    headers = Headers([("Connection", f"{name}, x-a"), (name, "v"), ("X-A", "1")])
    assert nominated(headers) == {"x-a"}


@given(st.lists(st.sampled_from(sorted(UNREMOVABLE | HOP_BY_HOP | {"x-a", "x-b", "close", ""}))))
def test_nominations_never_name_protected_or_known_fields(names: list[str]) -> None:
    found = nominated(Headers([("Connection", ",".join(names))]))
    assert found == {"x-a", "x-b"} & set(names)


@pytest.mark.parametrize(
    ("fields", "protocols"),
    [
        ([("Connection", "upgrade"), ("Upgrade", "WebSocket")], "WebSocket"),
        ([("Connection", "a"), ("Connection", " Upgrade "), ("Upgrade", "x/1")], "x/1"),
        ([("Connection", "upgrade"), ("Upgrade", "h2c")], ""),
        ([("Connection", "upgrade"), ("Upgrade", "HTTP/2.0,TLS/1.2")], ""),
        ([("Connection", "upgrade"), ("Upgrade", " , ")], ""),
        ([("Connection", "close"), ("Upgrade", "websocket")], ""),
        ([("Upgrade", "websocket")], ""),
        ([("Connection", "upgrade")], ""),
    ],
)
def test_what_can_be_tunnelled_is_asked_for_in_both_fields(fields: Pairs, protocols: str) -> None:
    assert tunnelled(Headers(fields)) == protocols


@pytest.mark.parametrize(
    ("via", "passed"),
    [
        ([], False),
        (["1.1 me"], True),
        (["1.1 ME (a comment)"], True),
        (["HTTP/1.1 a, 1.0 me, 1.1 b"], True),
        (["1.1 a", "1.1 me"], True),
        (["1.1 you"], False),
        (["1.1 me.test"], False),
        (["me 1.1"], False),
        (["1.1 a (me)"], False),
        (["1.1"], False),
        ([""], False),
    ],
)
def test_a_loop_shows_in_via(via: list[str], passed: bool) -> None:
    assert passed_before(Headers([("Via", value) for value in via]), "Me") is passed
