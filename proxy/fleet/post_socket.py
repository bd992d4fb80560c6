"""The post of processes on one host: a Unix socket for each, in a directory that is theirs alone.

Who writes to somebody has a line to his socket, on which nothing comes back: letters with their
lengths, the first of which says whose line it is. So the kernel tells both at once when the other
is killed: one cannot write any more, and the other reads what was written to the end, and then that
it is the end.

Nothing here waits but ``send``, for somebody who does not read what he was sent already, and not
for long. What is written for somebody is bounded in bytes, here and by the kernel.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from proxy.fleet.base import Reader, owner
from proxy.fleet.lines import LETTER_BYTES, Hearing, Line, unix_socket
from proxy.model.errors import TierError

_WAITING_BYTES: Final = 2**20  # for one reader, besides the some 200 KB that the kernel takes
_BACKLOG: Final = 1024  # lines that nobody has taken up yet: more than there are processes
_PREFIX: Final = "post-"

log = logging.getLogger("sidecache.replicas")


class SocketPost:
    """A ``proxy.fleet.base.Post`` of all processes that share a directory.

    ``start`` it, and ``close`` it in the end.

    Args:
        directory: for the fleet alone; made if missing. What others than its owner may open is
            refused. Its path is short: a socket's has room for about 80 bytes more or less.
        report: told of each change: None when the mailbox can be read, else why it cannot.
        room_s: how long ``send`` waits for somebody who does not read.
        close_s: how long ``close`` waits for that.
        rest_s: how long no lines are taken up after that could not be done.
    """

    def __init__(
        self,
        directory: Path,
        *,
        report: Callable[[TierError | None], None],
        room_s: float = 0.25,
        close_s: float = 0.25,
        rest_s: float = 1.0,
    ) -> None:
        self._directory = directory
        self._report = report
        self._room_s = room_s
        self._close_s = close_s
        self._rest_s = rest_s
        self._reader: Reader
        self._listening: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop
        self._again: asyncio.TimerHandle | None = None
        self._lines: dict[str, Line] = {}
        self._heard: set[Hearing] = set()
        self._speakers: Counter[str] = Counter()  # whose lines they are
        self.owner = owner()
        self.sent = 0
        self.sent_bytes = 0
        self.received = 0

    @property
    def is_open(self) -> bool:
        return self._listening is not None

    async def start(self, reader: Reader) -> None:
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        try:
            mine(self._directory)
            self._sweep()
            self._listening = self._bound()
        except OSError as error:
            self._report(TierError(f"no socket in {self._directory}: {error}"))
            return
        self._listen(self._listening)
        self._report(None)

    async def close(self) -> None:
        listening, self._listening = self._listening, None
        if listening is None:
            return
        if self._again is not None:
            self._again.cancel()
        with suppress(OSError):
            self._path(self.owner).unlink()
        self._loop.remove_reader(listening.fileno())
        listening.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._close_s):
                for line in tuple(self._lines.values()):
                    await line.empty()
        for line in tuple(self._lines.values()):
            line.end()
        for hearing in tuple(self._heard):
            hearing.end()

    async def send(self, to: str, letter: bytes) -> bool:
        if self._listening is None:
            raise TierError("the mailbox is not open")
        if len(letter) > LETTER_BYTES:
            raise TierError(f"a letter of {len(letter)} bytes is too long")
        line = self._lines.get(to) or self._open(to)
        if line is None:
            return False
        if line.waiting > _WAITING_BYTES:
            try:
                async with asyncio.timeout(self._room_s):
                    await line.less_than(_WAITING_BYTES)
            except TimeoutError:
                raise TierError("who is written to does not read") from None
        if not line.put(letter):
            return False
        self.sent += 1
        self.sent_bytes += len(letter)
        return True

    # -- lines to others ----------------------------------------------------------------------

    def _open(self, to: str) -> Line | None:
        """A new line to somebody; None if he is no more. Raises TierError."""
        path = self._path(to)
        end = unix_socket()
        try:
            end.connect(str(path))  # at once, or not at all
        except (FileNotFoundError, ConnectionRefusedError) as error:
            end.close()
            if isinstance(error, ConnectionRefusedError):
                with suppress(OSError):
                    path.unlink()  # a dead one's: no name is used twice
            return None
        except OSError as error:
            end.close()
            raise TierError(f"no line to another process: {error}") from error
        line = self._lines[to] = Line(end, lambda: self._on_ended(to))
        return line if line.put(self.owner.encode()) else None

    def _on_ended(self, to: str) -> None:
        del self._lines[to]
        # Else what he has written may still be on its way, and its end after it.
        if not self._speakers[to]:
            self._reader.lost(to)

    # -- lines from others --------------------------------------------------------------------

    def _listen(self, listening: socket.socket) -> None:
        self._loop.add_reader(listening.fileno(), self._take_up, listening)

    def _take_up(self, listening: socket.socket) -> None:
        try:
            end, _ = listening.accept()
        except BlockingIOError:
            return
        except OSError as error:  # too many open files, which takes a while
            log.warning("no line is taken up", exc_info=error)
            self._loop.remove_reader(listening.fileno())
            self._again = self._loop.call_later(self._rest_s, self._listen, listening)
            return
        end.settimeout(0)
        self._heard.add(Hearing(end, self))

    def named(self, hearing: Hearing) -> None:
        """It is known whose line it is."""
        self._speakers[hearing.speaker] += 1

    def came(self, letter: bytes) -> None:
        """A letter has come by one of the lines."""
        self.received += 1
        self._reader.receive(letter)

    def ended(self, hearing: Hearing) -> None:
        """A line has come to its end."""
        self._heard.discard(hearing)
        if hearing.speaker:
            self._speakers[hearing.speaker] -= 1
            self._speakers += Counter()  # without those at 0
            self._reader.lost(hearing.speaker)

    # -- the directory ------------------------------------------------------------------------

    def _path(self, of: str) -> Path:
        return self._directory / f"{_PREFIX}{of}"

    def _bound(self) -> socket.socket:
        listening = unix_socket()
        try:
            # It takes lines up before it can be seen, so that nobody takes it for a dead one's.
            unseen = self._directory / f".{self.owner}"
            listening.bind(str(unseen))
            listening.listen(_BACKLOG)
            unseen.rename(self._path(self.owner))
        except BaseException:
            listening.close()
            raise
        return listening

    def _sweep(self) -> None:
        """Remove the sockets of those who were killed."""
        for path in self._directory.glob(f"{_PREFIX}*"):
            with unix_socket() as end:
                try:
                    end.connect(str(path))
                except ConnectionRefusedError:
                    path.unlink(missing_ok=True)
                except OSError:
                    continue  # gone meanwhile, or somebody too busy to answer


def mine(directory: Path) -> None:
    """Make ``directory`` if it is not there, for its owner alone. Raises OSError if it is not."""
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError("it is not a directory of this user alone")
