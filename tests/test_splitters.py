"""Which headers split the cache."""

from __future__ import annotations

import pytest
from support.held import holding_less_than

from proxy.model.query import Form, Query
from proxy.splitters import Splitter, Splitters


def query(text: str = "q", **more: object) -> Query:
    return Query("openai_chat", "m", Form(), text.encode(), b"{}", **more)  # type: ignore[arg-type] # fields of a Query


def sight(
    splitters: Splitters,
    text: str = "q",
    *,
    path: str = "/chat",
    scope: str = "s",
    **fields: str,
) -> None:
    named = [(name.replace("_", "-"), value) for name, value in fields.items()]
    splitters.sight(path, scope, query(text), named)


def test_a_header_with_many_values_for_one_question_splits_it() -> None:
    splitters = Splitters()
    for number in range(5):
        sight(splitters, x_trace=str(number), accept_language="de")
    assert splitters.told() == [Splitter("x-trace", 5, 1)]


def test_one_that_is_there_or_not_splits_as_well() -> None:
    splitters = Splitters()
    sight(splitters)
    sight(splitters, x_flag="1")
    assert splitters.told() == [Splitter("x-flag", 1, 1)]


def test_the_same_question_asked_again_is_split_by_nothing() -> None:
    splitters = Splitters()
    for _ in range(3):
        sight(splitters, x_user="a")
    assert splitters.told() == []


@pytest.mark.parametrize("other", [{"text": "r"}, {"path": "/other"}, {"scope": "t"}])
def test_of_different_questions_nothing_is_learned(other: dict[str, str]) -> None:
    splitters = Splitters()
    sight(splitters, x_user="a")
    sight(splitters, **{**other, "x_user": "b"})
    assert splitters.told() == []


def test_the_worst_comes_first_and_is_reported_once() -> None:
    reported: list[str] = []
    splitters = Splitters(reported.append)
    for number in range(12):
        for value in "abc":
            sight(splitters, f"q{number}", x_trace=value, x_user="u" if number else value)
    assert [each.header for each in splitters.told()] == ["x-trace", "x-user"]
    assert splitters.told()[0].bodies == 12
    assert reported == ["x-trace"]


def test_the_order_and_number_of_fields_of_one_name_count() -> None:
    splitters = Splitters()
    splitters.sight("/", "s", query(), [("x-a", "1"), ("x-a", "2")])
    splitters.sight("/", "s", query(), [("x-a", "2"), ("x-a", "1")])
    assert [each.header for each in splitters.told()] == ["x-a"]


def test_what_is_remembered_has_bounds() -> None:
    splitters = Splitters()
    for number in range(3000):
        sight(splitters, f"q{number}", x_trace="1")
    sight(splitters, "q0", x_trace="2")  # long forgotten
    assert splitters.told() == []
    for number in range(200):
        sight(splitters, "q", **{f"x_{number}": "1"})
    assert len(splitters.told()) == 64
    for number in range(1500):
        sight(splitters, "q", x_0=str(number))
    assert max(each.values for each in splitters.told()) == 1000


def test_names_that_clients_make_up_are_not_remembered_without_bound() -> None:
    splitters = Splitters()
    with holding_less_than(2**20):
        for number in range(200):
            splitters.sight("/chat", "s", query(str(number)), [(f"x-{number:016000}", "1")])


def test_what_is_too_much_is_not_looked_at() -> None:
    splitters = Splitters()
    for value in "ab":
        splitters.sight("/", "s", query(), [(f"x-{at}", value) for at in range(40)])
        splitters.sight("/", "s", query("q" * 40_000), [("x-trace", value)])
        splitters.sight("/", "s", query(), [("x" * 100, value), ("x-\n", value)])
    assert splitters.told() == []
