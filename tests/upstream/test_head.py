"""No field, target or method can make a request head say more than one thing."""

from __future__ import annotations

import contextlib
import re

from hypothesis import given
from hypothesis import strategies as st
from support.asking import outbound

from proxy.model.errors import RequestError
from proxy.upstream import UpstreamSpec
from proxy.upstream.head import RequestHead

FRAMING = {"Content-Length", "Transfer-Encoding"}
OURS = {
    *("connection", "keep-alive", "proxy-connection", "upgrade", "te", "trailer"),
    *("content-length", "transfer-encoding", "host", "expect"),
}

anything = st.text(st.characters(max_codepoint=0xFF)) | st.text(alphabet="aB:\r\n\t \0-")
heads = RequestHead(UpstreamSpec(url="http://api.test"))


@given(
    st.sampled_from(["GET", "POST"]) | anything,
    anything.map("/{}".format),
    st.lists(
        st.tuples(
            st.sampled_from(["A", "x-b", "hOst", "TE", "Content-length"]) | anything, anything
        )
    ),
    st.none() | st.integers(0, 9),
)
def test_what_is_written_is_what_was_said_or_nothing(method, target, pairs, length):
    asked = outbound(method, headers=tuple(pairs))
    with contextlib.suppress(RequestError):
        check(heads.write(asked, target, length), method, target, pairs)


def check(head, method, target, pairs):
    first, *lines, end, nothing = head.decode("utf-8", "surrogateescape").split("\r\n")
    assert (end, nothing) == ("", "")
    assert first.split(" ") == [method, target, "HTTP/1.1"]
    assert not re.search(r"[\r\n\0]", "".join(lines))
    fields = [tuple(line.split(": ", 1)) for line in lines]
    said = [field for field in fields if field[0] not in {"Host", *FRAMING}]
    assert said == [(name, value) for name, value in pairs if name.lower() not in OURS]
    assert [name for name, _ in fields].count("Host") == 1
    assert sum(name in FRAMING for name, _ in fields) <= 1
