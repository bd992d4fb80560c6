"""Commands as values: what they say, what they make of replies, and which errors are refusals."""

from __future__ import annotations

import pytest

from proxy.link import command
from proxy.link.command import Command
from proxy.link.replies import NotAllowed, NoWrites, Refusal, TooLow

APPEND = command.append("k", "1-*", {b"a": b"1", b"b": b"2"}, most=9, only_if_there=True)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (command.get("k"), ("GET", "k")),
        (command.put("k", b"v", 7), ("SET", "k", b"v", "PX", 7)),
        (command.claim("k", b"v", 7), ("SET", "k", b"v", "NX", "PX", 7)),
        (command.renew("k", b"v", 7), ("SET", "k", b"v", "XX", "PX", 7)),
        (command.expire("k", 7), ("PEXPIRE", "k", 7)),
        (
            APPEND,
            ("XADD", "k", "NOMKSTREAM", "MAXLEN", "~", 9, "1-*", b"a", b"1", b"b", b"2"),
        ),
        (command.append("k", "*", {b"a": b"1"}), ("XADD", "k", "*", b"a", b"1")),
    ],
)
def test_a_command_says_what_is_sent(made: Command[object], words: tuple[object, ...]) -> None:
    assert made.words == words
    assert made.key == "k"


def test_replies_are_read_as_what_was_asked_for() -> None:
    assert command.get("k").read(b"v") == b"v"
    assert command.get("k").read(None) is None
    assert command.put("k", b"", 1).read(b"OK") is None
    assert command.put("k", b"", 1).read(True) is None
    assert command.unlink("k").read(0) is None
    assert command.claim("k", b"", 1).read(b"OK") is True
    assert command.claim("k", b"", 1).read(None) is False
    assert APPEND.read(None) is None
    assert APPEND.read(b"1-0") == b"1-0"
    with pytest.raises(ValueError, match="no id"):
        command.append("k", "*", {b"a": b""}).read(None)


@pytest.mark.parametrize(
    ("made", "reply"),
    [
        (command.get("k"), 7),
        (command.get("k"), [b"v"]),
        (command.put("k", b"", 1), b"v"),
        (command.put("k", b"", 1), None),
        (command.unlink("k"), b"OK"),
        (command.add_member("k", b"m"), None),
        (command.trim("k", "1"), [1]),
    ],
)
def test_a_reply_of_another_shape_is_none(made: Command[object], reply: object) -> None:
    with pytest.raises(ValueError, match=type(reply).__name__):
        made.read(reply)


@pytest.mark.parametrize(
    ("said", "tier", "more"),
    [
        ("READONLY You can't write", NoWrites, NoWrites),
        ("OOM command not allowed", NoWrites, NoWrites),
        ("MISCONF Redis is configured to save", NoWrites, NoWrites),
        ("NOREPLICAS Not enough good replicas", NoWrites, NoWrites),
        ("NOPERM this user has no permissions", NoWrites, NotAllowed),
        ("ERR unknown command 'XADD'", None, NotAllowed),
        ("ERR syntax error", None, NotAllowed),
        ("WRONGTYPE Operation against", None, NotAllowed),
        ("ERR The ID specified in XADD is equal or smaller than", None, TooLow),
        ("LOADING Redis is loading", None, None),
        ("NOAUTH Authentication required.", None, None),
    ],
)
def test_what_a_server_says_is_a_refusal_or_a_failure(
    said: str, tier: type[Refusal] | None, more: type[Refusal] | None
) -> None:
    """Of the tier's own commands, and of those that it can do without."""
    found = command.put("k", b"", 1).refusal(said), APPEND.refusal(said)
    assert tuple(type(each) if each is not None else None for each in found) == (tier, more)
    assert command.get("k").refusal(said) is None
