"""Headers of which something comes again and again: the same as any others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.model.headers import Beginning, Names, Received
from proxy.model.message import Headers

PAIRS = st.lists(
    st.tuples(st.sampled_from(["A", "a", "Set-Cookie", "x-b", "X-B", "c"]), st.text(max_size=3))
)


def received(pairs: list[tuple[str, str]]) -> Received:
    return Received(Names.of(name for name, _ in pairs), [value for _, value in pairs])


@given(PAIRS)
def test_headers_as_they_are_received_are_headers_like_others(pairs: list[tuple[str, str]]) -> None:
    plain = Headers(pairs)
    for name in ("a", "set-cookie", "x-b", "c", "d", "A"):
        ours = received(pairs)
        assert ours.get(name) == plain.get(name)
        assert ours.get(name, "none") == plain.get(name, "none")
        assert (name in ours) == (name in plain)
        assert ours.all(name) == plain.all(name)
    ours = received(pairs)
    assert len(ours) == len(plain)
    assert (ours.names, list(ours.values)) == (plain.names, list(plain.values))
    assert ours.index() == plain.index()
    assert (ours, hash(ours), list(ours), repr(ours)) == (
        plain, hash(plain), list(plain), repr(plain)
    )  # fmt: skip
    assert ours.without(frozenset({"a"})) == plain.without(frozenset({"a"}))
    assert ours.plus(("c", "1")) == plain.plus(("c", "1"))


@given(PAIRS, PAIRS)
def test_headers_that_begin_as_others_do_are_headers_like_others(
    first: list[tuple[str, str]], rest: list[tuple[str, str]]
) -> None:
    assert Beginning(first).then(*rest) == Headers([*first, *rest])
    assert Beginning(first).then(*rest).index() == Headers([*first, *rest]).index()
