"""Who may ask the operator's listener: what browsers tell of pages, and wrong tokens."""

from __future__ import annotations

import pytest
from aiohttp import hdrs
from aiohttp.test_utils import make_mocked_request
from support.cranked import Clock

from proxy.admin.endpoint import Refused
from proxy.admin.gate import Gate

TOKEN = "a-token-nobody-guesses"
RIGHT = {"Authorization": f"Bearer {TOKEN}"}
WRONG = {"Authorization": "Bearer guess"}


def status(
    gate: Gate, headers: dict[str, str], *, is_open: bool = False, peer: str = "127.0.0.1"
) -> int:
    request = make_mocked_request("GET", "/stats", {hdrs.HOST: "localhost:8081", **headers})
    request = request.clone(remote=peer)
    try:
        gate.check(request, is_open=is_open)
    except Refused as refused:
        return refused.status
    return 200


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        ({}, 200),
        ({"Origin": "http://localhost:8081"}, 200),
        ({"Origin": "https://LOCALHOST:8081"}, 200),
        ({"Origin": "http://evil.test"}, 403),
        ({"Origin": "http://localhost:9999"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.test"}, 403),
    ],
)
def test_only_its_own_pages_may_ask(headers: dict[str, str], answer: int) -> None:
    assert status(Gate(None, (), clock=Clock()), headers) == answer
    assert status(Gate(TOKEN, (), clock=Clock()), RIGHT | headers) == answer


def test_what_is_open_any_page_may_link_to() -> None:
    gate = Gate(TOKEN, (), clock=Clock())
    assert status(gate, {"Sec-Fetch-Site": "cross-site"}, is_open=True) == 200


def test_who_guesses_locks_nobody_out_who_shares_the_address() -> None:
    gate = Gate(TOKEN, (), clock=Clock())
    assert [status(gate, WRONG) for _ in range(25)] == [401] * 20 + [429] * 5
    assert status(gate, RIGHT) == 200
    assert status(gate, WRONG) == 429


class At:
    """A connection to one of this machine's addresses; as much of a transport as is asked for."""

    def __init__(self, address: str) -> None:
        self._address = address

    def get_extra_info(self, name: str) -> tuple[str, int] | None:
        return (self._address, 8081) if name == "sockname" else None


@pytest.mark.parametrize(
    ("host", "at", "probed", "scraped"),
    [
        ("10.244.1.7:8081", "10.244.1.7", 200, 200),  # by the address of its pod
        ("[fd00:244::7]:8081", "fd00:244::7", 200, 200),
        ("10.244.9.9:8081", "10.244.1.7", 200, 421),  # an address that somebody else has
        ("sidecache-0.models.svc:8081", "10.244.1.7", 421, 421),  # what a page can rebind
    ],
)
def test_in_a_pod_it_is_called_by_its_address(
    host: str, at: str, probed: int, scraped: int
) -> None:
    gate = Gate(TOKEN, (), clock=Clock())

    def asked(headers: dict[str, str], *, is_open: bool) -> int:
        headers = {hdrs.HOST: host, **headers}
        request = make_mocked_request("GET", "/", headers, transport=At(at))
        try:
            gate.check(request.clone(remote="10.244.0.1"), is_open=is_open)
        except Refused as refused:
            return refused.status
        return 200

    assert asked({}, is_open=True) == probed
    assert asked(RIGHT, is_open=False) == scraped
    assert asked({}, is_open=False) in {401, 421}


@pytest.mark.parametrize(
    ("one", "other", "answer"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", 429),
        ("2001:db8::1", "2001:db8:0:1::1", 401),
        ("fe80::1%eth0", "fe80::2%eth0", 429),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", 401),
        ("192.0.2.1", "192.0.2.2", 401),
        ("", "192.0.2.2", 401),
    ],
)
def test_all_of_a_network_of_ipv6_is_one_who_guesses(one: str, other: str, answer: int) -> None:
    gate = Gate(TOKEN, (), clock=Clock())
    assert [status(gate, WRONG, peer=one) for _ in range(20)] == [401] * 20
    assert status(gate, WRONG, peer=other) == answer


def test_where_guesses_can_come_to_something_even_the_right_token_has_to_wait() -> None:
    clock = Clock()
    gate = Gate("short", (), clock=clock)
    right = {"Authorization": "Bearer short"}
    assert [status(gate, WRONG) for _ in range(25)] == [401] * 20 + [429] * 5
    assert status(gate, right) == 429
    clock.turn(3.0)
    assert status(gate, right) == 200
    assert [status(gate, WRONG) for _ in range(2)] == [401, 429]
    clock.turn(3600)
    assert [status(gate, WRONG) for _ in range(21)] == [401] * 20 + [429]


def test_who_sends_none_need_not_wait() -> None:
    gate = Gate(TOKEN, (), clock=Clock())
    assert {status(gate, {}) for _ in range(100)} == {401}
    assert status(gate, RIGHT) == 200


def test_another_token_counts_from_the_next_request_on() -> None:
    gate = Gate(TOKEN, (), clock=Clock())
    gate.let_in("another", ["proxy.test"])
    assert status(gate, RIGHT) == 401
    assert status(gate, {"Authorization": "Bearer another"}) == 200
    assert status(gate, {"Authorization": "Bearer another", "Host": "proxy.test"}) == 200
    gate.let_in(None, ())
    assert status(gate, {}) == 200
    assert status(gate, {"Host": "proxy.test"}) == 421
