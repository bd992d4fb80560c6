"""What the arbiter and its crew tell each other."""

from __future__ import annotations

import asyncio
import socket

from hypothesis import given
from hypothesis import strategies as st

from proxy.workers.lifeline import Lifeline, Lines, Message, written

MESSAGES = st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.booleans(), max_size=3))


@given(MESSAGES, st.integers(1, 40))
def test_messages_come_out_as_they_went_in_however_they_are_cut(
    said: list[dict[str, int]], size: int
) -> None:
    said = [{name: min(max(value, -(2**60)), 2**60) for name, value in m.items()} for m in said]
    data, lines = b"".join(written(each) for each in said), Lines()
    heard: list[Message] = []
    for start in range(0, len(data), size):
        heard += lines.feed(data[start : start + size])
    assert heard == said


def test_what_is_no_message_is_left_out() -> None:
    assert Lines().feed(b'{"ready":true}\nnonsense\n[1]\n{"roll":true}\n') == [
        {"ready": True}, {"roll": True},
    ]  # fmt: skip


def test_what_never_ends_is_not_kept() -> None:
    lines = Lines()
    for _ in range(20):
        assert lines.feed(b"x" * 2**17) == []
    assert lines.feed(b'\n{"a":1}\n') == [{"a": 1}]


async def test_a_member_gives_signs_of_life_says_that_it_is_ready_and_hears() -> None:
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    heard: asyncio.Queue[Message] = asyncio.Queue()
    lifeline = Lifeline(heard.put_nowait, lambda: None)
    await lifeline.hold(theirs)
    lifeline.ready()
    writer.write(written({"reload": True}))

    assert await reader.readline() == b"{}\n"
    assert await reader.readline() == b'{"ready":true}\n'
    assert await reader.readline() == b"{}\n"  # a second later
    assert await heard.get() == {"reload": True}
    lifeline.close()
    lifeline.close()
    assert await reader.read() == b""
    writer.close()


async def test_it_is_told_once_when_the_arbiter_is_gone_but_not_when_it_leaves_itself() -> None:
    for leaves in (False, True):
        ours, theirs = socket.socketpair()
        orphaned = asyncio.Event()
        lifeline = Lifeline(lambda _: None, orphaned.set)
        await lifeline.hold(theirs)
        if leaves:
            lifeline.close()
            ours.close()
            await asyncio.sleep(0)
            assert not orphaned.is_set()
        else:
            ours.close()
            await orphaned.wait()
        lifeline.tell({"too": "late"})
        lifeline.close()
