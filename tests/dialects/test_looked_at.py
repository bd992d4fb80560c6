"""Which headers a dialect may look at: what was read is remembered without the others."""

from __future__ import annotations

import pytest
from support.cranked import Given
from support.watched import Watched

from proxy.app.spoken import dialects
from proxy.config.load import load
from proxy.dialects.base import LOOKED_AT, Dialect
from proxy.model.message import Request

SPOKEN = dialects(
    load(
        environ={
            "SIDECACHE_UPSTREAM": "http://127.0.0.1:1",
            "SIDECACHE_RAG": "[{paths: [/ask]}]",
        }
    ).settings
)
BODIES = (
    b"{}", b'{"model":"m","messages":[{"role":"user","content":"a"}],"stream":true}',
    b'{"model":"m","input":["a","b"],"query":"a","question":"a","texts":["a"]}', b"[", b"",
)  # fmt: skip


@pytest.mark.parametrize("dialect", SPOKEN, ids=lambda dialect: dialect.name)
def test_what_a_dialect_reads_depends_on_no_other_header(dialect: Dialect) -> None:
    kinds = ([], [("Content-Type", "application/json")], [("content-type", "text/plain")],
             [("Content-Encoding", "gzip"), ("Accept", "text/event-stream")])  # fmt: skip
    for pairs in kinds:
        for body in BODIES:
            for method in ("POST", "GET"):
                headers = Watched(pairs)
                dialect.read(Request(method, "/ask", "q=a", headers, Given(body)), body)
                assert headers.looked_at <= LOOKED_AT
