"""Errors of the proxy's own."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.problem import problem


def test_a_problem_has_the_shape_clients_know_and_is_not_to_be_stored() -> None:
    head, body = problem(504, "connection_timeout", "It took too long.")
    assert (head.status, head.reason) == (504, "Gateway Timeout")
    assert head.headers.pairs == (
        ("Content-Type", "application/json"),
        ("Cache-Control", "no-store"),
        ("Proxy-Status", "sidecache; error=connection_timeout"),
    )
    assert json.loads(body) == {
        "type": "error",
        "error": {
            "message": "It took too long.",
            "type": "sidecache_error",
            "code": "connection_timeout",
            "param": None,
        },
    }


def test_a_code_of_our_own_is_no_proxy_status() -> None:
    head, _ = problem(404, "no_upstream", "Nobody serves this.", pseudonym="edge")
    assert "proxy-status" not in head.headers


def test_the_proxy_is_called_by_its_pseudonym() -> None:
    head, _ = problem(502, "connection_refused", "No.", pseudonym="edge")
    assert head.headers.get("proxy-status") == "edge; error=connection_refused"


def test_a_status_without_a_registered_phrase_has_one_all_the_same() -> None:
    assert problem(599, "x", "y")[0].reason == "Error"


@given(st.text())
def test_any_detail_is_escaped(detail: str) -> None:
    _, body = problem(400, "x", detail)
    assert body.isascii()
    assert json.loads(body)["error"]["message"] == detail
