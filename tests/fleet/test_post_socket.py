"""Mailboxes that are sockets in a directory."""

from __future__ import annotations

import asyncio
import resource
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

import pytest
from support.post_contract import Box, PostContract
from support.redis_links import refused
from support.replicas import until
from support.started import started

from proxy.fleet.base import owner
from proxy.fleet.lines import LETTER_BYTES
from proxy.fleet.post_socket import SocketPost
from proxy.model.errors import TierError


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="post-") as directory:
        yield Path(directory) / "fleet"


class SocketBox(Box):
    """A mailbox with somebody who reads it."""

    post: SocketPost

    def __init__(self, folder: Path, room_s: float = 20.0, rest_s: float = 20.0) -> None:
        super().__init__()
        self.post = SocketPost(
            folder,
            report=lambda trouble: self.told.append((trouble is None, str(trouble or ""))),
            room_s=room_s,
            close_s=20.0,
            rest_s=rest_s,
        )


@asynccontextmanager
async def box(folder: Path, **settings: float) -> AsyncIterator[SocketBox]:
    own = SocketBox(folder, **settings)
    await own.post.start(own)
    try:
        yield own
    finally:
        await own.post.close()


class Neighbour:
    """One whose every byte a test writes and reads, and who may say nothing, or die."""

    def __init__(self, folder: Path) -> None:
        self.name = owner()
        self._sockets = [_unix()]
        self.socket = self._sockets[0]
        self.socket.bind(str(folder / f"post-{self.name}"))
        self.socket.listen()

    async def taken_up(self) -> socket.socket:
        """The line of the next who writes to it."""
        line, _ = await asyncio.get_running_loop().sock_accept(self.socket)
        self._sockets.append(line)
        return line

    def line_to(self, folder: Path, to: str) -> socket.socket:
        """A line of its own, on which it has said who it is."""
        line = _unix()
        self._sockets.append(line)
        line.connect(str(folder / f"post-{to}"))
        line.send(framed(self.name.encode()))
        return line

    def die(self) -> None:
        for each in self._sockets:
            each.close()


Neighbours = Callable[[], Neighbour]


@pytest.fixture
def neighbour(folder: Path) -> Iterator[Neighbours]:
    """Makes neighbours, who are dead in the end."""
    made: list[Neighbour] = []

    def make() -> Neighbour:
        made.append(Neighbour(folder))
        return made[-1]

    yield make
    for each in made:
        each.die()


def _unix() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.settimeout(0)
    return made


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def framed(letter: bytes) -> bytes:
    return len(letter).to_bytes(4) + letter


async def whole(line: socket.socket) -> bytes:
    """What comes by a line up to its end."""
    came = b""
    while piece := await asyncio.get_running_loop().sock_recv(line, 2**20):
        came += piece
    return came


class TestSocketPost(PostContract):
    @pytest.fixture(autouse=True)
    def _given(self, folder: Path) -> None:
        self.folder = folder

    def box(self) -> AbstractAsyncContextManager[Box]:
        return box(self.folder)

    async def test_nothing_is_left_behind(self) -> None:
        fds = _open_files()
        async with self.box() as one, self.box() as other:
            for _ in range(3):
                await one.post.send(other.post.owner, b"letter")
                await other.post.send(one.post.owner, b"letter")
            assert len(list(self.folder.iterdir())) == 2
        assert list(self.folder.iterdir()) == []
        assert _open_files() == fds


# -- who is no more --------------------------------------------------------------------------------


async def test_who_was_killed_cannot_be_written_to_and_his_socket_goes(
    folder: Path, neighbour: Neighbours
) -> None:
    async with box(folder) as one:
        dead = neighbour()
        dead.die()
        assert not await one.post.send(dead.name, b"letter")
        assert not (folder / f"post-{dead.name}").exists()


async def test_that_somebody_is_killed_is_known_at_once_by_who_wrote_to_him(
    folder: Path, neighbour: Neighbours
) -> None:
    async with box(folder) as one:
        other = neighbour()
        assert await one.post.send(other.name, b"letter")
        await other.taken_up()
        other.die()
        await until(lambda: one.gone)
        assert one.gone == [other.name]
        assert not await one.post.send(other.name, b"another")


async def test_what_the_killed_had_written_comes_before_it_is_known(
    folder: Path, neighbour: Neighbours
) -> None:
    async with box(folder) as one:
        other = neighbour()
        assert await one.post.send(other.name, b"what is it?")
        line, back = await other.taken_up(), other.line_to(folder, one.post.owner)
        back.send(framed(b"it is"))
        await one.got(b"it is")
        line.close()  # one cannot write to it any more, and may yet hear from it
        await until(lambda: not one.post._lines)
        assert one.gone == []
        back.send(framed(b"late") + framed(b"half a letter")[:9])
        other.die()
        await until(lambda: one.gone)
        assert one.letters == [b"it is", b"late"]
        assert one.gone == [other.name]


async def test_who_starts_removes_the_sockets_of_the_dead_and_of_nobody_else(
    folder: Path, neighbour: Neighbours
) -> None:
    async with box(folder) as living:
        dead = [neighbour() for _ in range(3)]
        for each in dead:
            each.die()
        (folder / "post-of-no-use").write_bytes(b"")
        async with box(folder) as one:
            left = _names(folder)
            assert left - {"of-no-use"} == {living.post.owner, one.post.owner}
            assert await one.post.send(living.post.owner, b"letter")
            await living.got(b"letter")


def _names(folder: Path) -> set[str]:
    return {path.name.removeprefix("post-") for path in folder.glob("post-*")}


# -- who does not read -----------------------------------------------------------------------------


async def test_who_does_not_read_is_waited_for_a_moment_and_costs_so_many_bytes(
    folder: Path,
    neighbour: Neighbours,
) -> None:
    async with box(folder, room_s=0.05) as one:
        slow = neighbour()
        letters = [bytes([number]) * 100_000 for number in range(100)]
        sent = 0
        with suppress(TierError):
            for letter in letters:
                assert await one.post.send(slow.name, letter)
                sent += 1
        (line,) = one.post._lines.values()
        assert sent < 20
        assert line.waiting <= 2**20 + 100_004
        await refused(one.post.send(slow.name, b"still"))

        listening = started(whole(await slow.taken_up()))
        await until(lambda: line.waiting == 0)
        assert await one.post.send(slow.name, b"last")
        await one.post.close()
        assert await listening == framed(one.post.owner.encode()) + b"".join(
            map(framed, [*letters[:sent], b"last"])
        )


async def test_who_waits_to_write_goes_on_when_it_is_read_or_the_reader_dies(
    folder: Path,
    neighbour: Neighbours,
) -> None:
    async with box(folder) as one:
        slow = neighbour()
        for _ in range(12):
            await one.post.send(slow.name, b"x" * 100_000)
        (line,) = one.post._lines.values()
        while line.waiting <= 2**20:
            await one.post.send(slow.name, b"x" * 100_000)
        waiting = [started(one.post.send(slow.name, b"%d" % n)) for n in range(5)]
        await asyncio.sleep(0)
        assert not any(each.done() for each in waiting)
        reader = await slow.taken_up()
        read = 0
        while read < 2**19:
            read += len(await asyncio.get_running_loop().sock_recv(reader, 2**16))
        assert all(await asyncio.gather(*waiting))

        while line.waiting <= 2**20:
            await one.post.send(slow.name, b"x" * 100_000)
        late = started(one.post.send(slow.name, b"in vain"))
        await asyncio.sleep(0)
        slow.die()
        assert not await late


async def test_what_waits_is_written_before_it_closes(folder: Path, neighbour: Neighbours) -> None:
    async with box(folder) as one:
        slow = neighbour()
        for _ in range(8):
            await one.post.send(slow.name, b"x" * 100_000)
        (line,) = one.post._lines.values()
        assert line.waiting
        reading = started(whole(await slow.taken_up()))
        await one.post.close()
        assert len(await reading) == 4 + 16 + 8 * 100_004


async def test_who_takes_up_no_line_is_too_busy_and_not_dead(
    folder: Path, neighbour: Neighbours
) -> None:
    async with box(folder) as one:
        busy = neighbour()
        busy.socket.listen(0)
        busy.line_to(folder, busy.name)  # for which there is room
        with suppress(BlockingIOError):
            while True:
                busy.line_to(folder, busy.name)
        await refused(one.post.send(busy.name, b"letter"))
        async with box(folder):  # nor is its socket swept away
            assert busy.name in _names(folder)


async def test_while_no_more_files_can_be_opened_no_line_is_taken_up_and_then_they_are(
    folder: Path, neighbour: Neighbours, caplog: pytest.LogCaptureFixture
) -> None:
    async with box(folder, rest_s=0.01) as one:
        other = neighbour()
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        line = other.line_to(folder, one.post.owner)
        resource.setrlimit(resource.RLIMIT_NOFILE, (line.fileno() + 1, limits[1]))
        try:
            await until(lambda: "no line is taken up" in caplog.text)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        line.send(framed(b"letter"))
        await one.got(b"letter")


# -- what makes no sense ---------------------------------------------------------------------------


async def test_a_letter_that_is_too_long_is_not_sent(folder: Path) -> None:
    async with box(folder) as one, box(folder) as other:
        assert await one.post.send(other.post.owner, b"x" * LETTER_BYTES)
        await refused(one.post.send(other.post.owner, b"x" * (LETTER_BYTES + 1)))
        await until(lambda: other.letters)
        assert [len(letter) for letter in other.letters] == [LETTER_BYTES]


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        framed(b"a name that is far too long"),
        framed(b"0123456789abcdef") + framed(b"letter") + b"\xff" * 4,
        framed(b"0123456789abcdef") + (LETTER_BYTES + 1).to_bytes(4),
    ],
)
async def test_who_makes_no_sense_is_hung_up_on_and_nobody_else(folder: Path, said: bytes) -> None:
    async with box(folder) as one, box(folder) as other:
        stranger = _unix()
        stranger.connect(str(folder / f"post-{one.post.owner}"))
        stranger.send(said)
        async with asyncio.timeout(20):
            with suppress(ConnectionResetError):
                assert await whole(stranger) == b""
        stranger.close()
        assert await other.post.send(one.post.owner, b"sense")
        await until(lambda: b"sense" in one.letters)


async def test_who_says_nothing_is_not_missed(folder: Path) -> None:
    async with box(folder) as one:
        stranger = _unix()
        stranger.connect(str(folder / f"post-{one.post.owner}"))
        await until(lambda: one.post._heard)
        stranger.close()
        await until(lambda: not one.post._heard)
        assert one.gone == []


async def test_letters_may_come_in_any_pieces(folder: Path, neighbour: Neighbours) -> None:
    async with box(folder) as one:
        neighbour = neighbour()
        line = neighbour.line_to(folder, one.post.owner)
        letters = [b"", b"a", b"bc" * 100]
        for byte in b"".join(map(framed, letters)):
            line.send(bytes([byte]))
            await asyncio.sleep(0)
        await one.got(*letters)
        assert one.post.received == 3


# -- where there can be none -----------------------------------------------------------------------


def _open_to_all(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o755)


def _a_file(folder: Path) -> None:
    folder.write_bytes(b"")


def _a_link(folder: Path) -> None:
    folder.with_name("other").mkdir(mode=0o700)
    folder.symlink_to(folder.with_name("other"))


@pytest.mark.parametrize("made", [_open_to_all, _a_file, _a_link])
async def test_what_is_no_directory_of_ones_own_is_not_used(folder: Path, made) -> None:
    made(folder)
    await _is_shut(folder)


async def test_where_no_socket_can_be_made_there_is_no_mailbox(folder: Path) -> None:
    await _is_shut(folder / "not" / "there")
    long = folder.with_name("x" * 100)
    await _is_shut(long)
    assert list(long.iterdir()) == []


async def _is_shut(folder: Path) -> None:
    async with box(folder) as one:
        assert not one.post.is_open
        ((is_open, why),) = one.told
        assert not is_open
        assert str(folder) in why
        await refused(one.post.send(owner(), b"letter"))
