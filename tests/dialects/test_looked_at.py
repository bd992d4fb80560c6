"""What a dialect may look at: what was read is remembered without the rest.

Of the headers, those that the protocol of all dialects names; of a body, not the order in which the
members of the object come.
"""

from __future__ import annotations

import json
from itertools import islice, permutations

import pytest
from support.cranked import Given
from support.watched import Watched

from proxy.app.spoken import dialects
from proxy.config.load import load
from proxy.dialects.base import LOOKED_AT, Dialect
from proxy.model.message import Request
from proxy.model.query import Query

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


MEMBERS = {
    "model": "m", "cache": {"ttl": 5}, "stream": True, "stream_options": {"include_usage": True},
    "response_format": {"b": 1, "a": 2}, "temperature": 0.5,
}  # fmt: skip
ASKED = [
    {"messages": [{"role": "user", "content": "a"}], "system": "s", "max_tokens": 5},
    {"input": "a", "instructions": "b", "store": False},
    {"prompt": "a", "question": "b", "query": "c", "messages": [], "history": []},
    {"input": ["a", "b"], "texts": ["a"], "dimensions": 3},
    {"query": "a", "documents": ["b", "c"], "top_n": 1},
]  # fmt: skip


@pytest.mark.parametrize("dialect", SPOKEN, ids=lambda dialect: dialect.name)
def test_what_a_dialect_reads_does_not_depend_on_the_order_of_members(dialect: Dialect) -> None:
    understood = 0
    for more in ASKED:
        members = {**MEMBERS, **more}
        orders = [*islice(permutations(members), 0, None, 20_011)]
        first, *others = (_read(dialect, {name: members[name] for name in o}) for o in orders)
        assert all(other == first for other in others)
        understood += isinstance(first, Query)
    assert understood


def _read(dialect: Dialect, members: dict[str, object]) -> object:
    """What ``members`` are read as, less the bytes that are sent on, which are as they came."""
    body = json.dumps(members).encode()
    request = Request("POST", "/ask", "q=a", Watched([]), Given(body))
    query = dialect.read(request, body)
    return query._replace(forward=b"") if isinstance(query, Query) else (query.why, query.detail)
