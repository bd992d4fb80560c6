"""In what way the questions of a kind differ."""

from __future__ import annotations

import json

from benchmarks.frame.questions import KEYS, Kind, Questions


def asked(kind: Kind, number: int = 20) -> list[tuple[bytes, bytes]]:
    """Heads and bodies."""
    questions = Questions(kind, 1000)
    both = [questions.request("host:1").split(b"\r\n\r\n", 1) for _ in range(number)]
    return [(head, body) for head, body in both]


def test_the_same_are_the_same_to_the_byte() -> None:
    assert len(set(asked(Kind.SAME))) == 1


def test_traced_ones_differ_in_their_heads_alone() -> None:
    requests = asked(Kind.TRACED)
    assert len({head for head, _ in requests}) == len(requests)
    assert {body for _, body in requests} == {asked(Kind.SAME)[0][1]}
    assert all(b"\r\ntraceparent: 00-" in head for head, _ in requests)


def test_reordered_ones_are_the_same_json_in_other_bytes() -> None:
    bodies = {body for _, body in asked(Kind.REORDERED)}
    assert len(bodies) > 15
    assert len({json.dumps(json.loads(body), sort_keys=True) for body in bodies}) == 1


def test_many_are_some_of_a_thousand_questions() -> None:
    said = [json.loads(body)["messages"][1]["content"] for _, body in asked(Kind.MANY, 300)]
    numbers = {int(each.split()[1].rstrip(":")) for each in said}
    assert 200 < len(numbers) <= 300
    assert max(numbers) < KEYS


def test_unique_ones_have_each_a_number_of_its_own() -> None:
    bodies = [body for _, body in asked(Kind.UNIQUE)]
    assert len(set(bodies)) == len(bodies)
    assert b"Question 000001001:" in bodies[0]


def test_the_length_that_a_head_tells_is_the_bodys() -> None:
    for kind in Kind:
        for head, body in asked(kind, 3):
            assert head.endswith(b"Content-Length: %d" % len(body))
