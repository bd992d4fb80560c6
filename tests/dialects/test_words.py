from __future__ import annotations

import pytest

from proxy.dialects.words import LastWord, ends, said_in, said_last, take_last_word

SYSTEM = {"role": "system", "content": "Be brief."}


def said(content: object, role: str = "user") -> dict[str, object]:
    return {"role": role, "content": content}


def test_what_the_user_said_last_is_found_behind_what_others_said() -> None:
    assert said_last([SYSTEM, said("Why?"), said("Because.", "assistant")]) == "Why?"
    assert said_last([SYSTEM]) == said_last("Why?") == said_last(None) == ""


def test_of_a_long_text_the_beginning_and_the_end_are_looked_at() -> None:
    text = "a" * 2048 + "b" * 9000 + "c" * 2048
    assert ends(text) == "a" * 2048 + "\n" + "c" * 2048
    assert said_in([{"type": "text", "text": text}, {"type": "image"}]) == ends(text)
    assert said_in(4) == ""


@pytest.mark.parametrize(
    ("messages", "word"),
    [
        ([said("Why?")], LastWord("Why?", follows=False)),
        ([SYSTEM, said("Why?")], LastWord("Why?", follows=False)),
        ([said("Hello"), said("Why?")], LastWord("Why?", follows=True)),
        (["no message", said("Why?")], LastWord("Why?", follows=True)),
    ],
)
def test_the_last_word_leaves_null_where_it_stood(messages: list[object], word: LastWord) -> None:
    assert take_last_word(messages) == word
    assert messages[-1] == said(None)


@pytest.mark.parametrize(
    "messages",
    [
        None,
        [],
        ["Why?"],
        [said("Because.", "assistant")],
        [said(None)],
        [said(["Why?"])],
        [said([{"type": "image", "text": "Why?"}])],
        [said([{"type": "text", "text": 4}])],
        [said([{"type": "text", "text": "Why?"}, {"type": "image"}])],
    ],
)
def test_what_is_not_one_text_of_the_users_is_no_last_word(messages: object) -> None:
    assert take_last_word(messages) is None
