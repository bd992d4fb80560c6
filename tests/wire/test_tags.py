"""Tags: what counts as one, how they are listed, and that none gets lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import unhurried

from proxy.model.message import Headers
from proxy.wire.tags import LONGEST, MOST, collected, listed, tags_of


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        ("", ()),
        (" , ,", ()),
        ("a", ("a",)),
        (" a ,\tb\t", ("a", "b")),
        ("a,b,a", ("a", "b")),
        ("b, a", ("b", "a")),
        ("Doc:17, doc:17", ("Doc:17", "doc:17")),
        ("user guide, Bücher, 手册", ("user guide", "Bücher", "手册")),
        ("a;b", ("a;b",)),
        ('"a", b', ('"a"', "b")),
        ("x" * LONGEST, ("x" * LONGEST,)),
        ("x" * (LONGEST + 1), None),
        ("a, b\x1f", None),
        ("a\nb", None),
        ("a\tb", None),
        ("a\u2028b", None),
        ("a\udcff", None),
        (",".join(map(str, range(MOST))), tuple(map(str, range(MOST)))),
        (",".join(map(str, range(MOST + 1))), None),
        (",".join(["a"] * 1000), ("a",)),
    ],
)
def test_a_list_with_commas_is_understood_whole_or_not_at_all(
    value: str, tags: tuple[str, ...] | None
) -> None:
    assert listed(value) == tags
    assert tags_of(Headers([("X-Cache-Tags", value)])) == tags
    assert tags_of(Headers([("Cache-Tag", value)])) == tags


@pytest.mark.parametrize(
    ("fields", "tags"),
    [
        ([], ()),
        ([("Surrogate-Key", "a b  c")], ("a", "b", "c")),
        ([("Surrogate-Key", "")], ()),
        ([("Surrogate-Key", "a,b")], ("a,b",)),
        ([("Surrogate-Key", "a b"), ("surrogate-key", "c")], ("a", "b", "c")),
        ([("Cache-Tag", "a"), ("cache-tag", "b, a")], ("a", "b")),
        (
            [("Surrogate-Key", "s"), ("X-Cache-Tags", "x, c"), ("Cache-Tag", "c")],
            ("c", "x", "s"),
        ),
        ([("Cache-Tag", "a"), ("Surrogate-Key", "x" * 257)], None),
        ([("Cache-Tags", "a"), ("X-Cache-Tag", "a")], ()),
    ],
)
def test_all_tags_of_a_response_count(
    fields: list[tuple[str, str]], tags: tuple[str, ...] | None
) -> None:
    assert tags_of(Headers([("Content-Type", "application/json"), *fields])) == tags


def test_too_many_are_too_many_wherever_they_stand() -> None:
    many = ", ".join(f"a{n}" for n in range(MOST))
    assert tags_of(Headers([("Cache-Tag", many)])) is not None
    assert tags_of(Headers([("Cache-Tag", many), ("Surrogate-Key", "one-more")])) is None
    assert tags_of(Headers([("Cache-Tag", many), ("Surrogate-Key", "a0")])) is not None


def test_a_tag_without_characters_is_none() -> None:
    assert collected(["a", ""]) is None


@unhurried
@given(st.lists(st.text(max_size=5) | st.text(min_size=250, max_size=260), max_size=70))
def test_what_is_collected_is_all_there_was_each_once_and_fit_for_the_envelope(
    tags: list[str],
) -> None:
    kept = collected(tags)
    if kept is None:
        bad = [tag for tag in tags if not (1 <= len(tag) <= LONGEST and tag.isprintable())]
        assert bad or len(set(tags)) > MOST
    else:
        assert list(kept) == sorted(set(tags), key=tags.index)
        assert tuple("\n".join(kept).split("\n")) == kept or not kept


_tag = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters=","), min_size=1)


@unhurried
@given(st.lists(_tag, max_size=20))
def test_commas_and_spaces_say_the_same(tags: list[str]) -> None:
    expected = tuple(dict.fromkeys(tags))
    assert listed(", ".join(tags)) == expected
    assert tags_of(Headers([("Surrogate-Key", " ".join(tags))])) == expected
