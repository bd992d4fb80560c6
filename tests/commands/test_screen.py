from __future__ import annotations

from proxy.commands import said
from proxy.commands.screen import clean


def test_control_characters_are_written_out() -> None:
    assert clean("a\x1b[2Jb\u202ec\n") == "a\\x1b[2Jb\\u202ec\\n"
    assert clean("naïve 模型") == "naïve 模型"


def test_what_a_proxy_says_is_believed_only_where_it_fits() -> None:
    told = {"a": {"n": 1, "t": "x", "f": True, "l": [{"b": 1}, 2, "c"]}}
    assert said.number(told, "a", "n") == 1
    assert said.number(told, "a", "f") is None
    assert said.number(told, "a", "n", "deeper") is None
    assert said.text(told, "a", "n") == ""
    assert said.flag(told, "a", "f")
    assert said.part(told, "a", "l") == {}
    assert said.rows(told, "a", "l") == [{"b": 1}]
    assert said.texts(told, "a", "l") == ["c"]
    assert said.rows(told, "none") == said.texts(told, "none") == []
