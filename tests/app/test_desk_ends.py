"""How the desk comes to an end while it waits for the arbiter."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from proxy.app.desk import Desk
from proxy.config.load import Origin
from proxy.workers.lifeline import Lines, written

SETTINGS = """
upstreams: [{url: "http://127.0.0.1:9"}]
workers: 2
admin: {enabled: false}
l2_disk: {enabled: false}
reload: {watch: false}
"""
ROSTER = {"edition": 1, "stopping": False, "restarts": 0, "wanted": 2, "workers": []}


async def test_it_does_not_wait_for_a_roll_that_the_arbiter_will_tell_nothing_of(
    tmp_path: Path,
) -> None:
    file = tmp_path / "sidecache.yaml"
    file.write_text(SETTINGS)
    source = Origin(file)
    desk = Desk(source.load(), source, tmp_path, 1, None)
    arbiter, line = socket.socketpair()
    arbiter.settimeout(0)
    loop, lines = asyncio.get_running_loop(), Lines()

    async def said(name: str) -> None:
        while not any(name in each for each in lines.feed(await loop.sock_recv(arbiter, 99))):
            pass

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        with arbiter:
            tasks.create_task(desk.serve(line))
            await loop.sock_sendall(arbiter, written(ROSTER))
            await said("ready")
            file.write_text(SETTINGS + "mode: sidecar\n")
            await loop.sock_sendall(arbiter, written({"reload": True}))
            await said("roll")
