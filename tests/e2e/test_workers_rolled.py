"""Workers that are replaced under load, again and again."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from support.crowd import Crowd, answer
from support.processes import children, gone
from support.scripted import ScriptedUpstream
from support.served import served

TIMES = 20
CALLERS = 64
WORKERS = 2


@pytest.mark.heavy
@pytest.mark.timeout(240)
async def test_when_all_workers_are_replaced_under_load_nobody_fails_and_nothing_is_cut(
    tmp_path: Path,
) -> None:
    file = tmp_path / "sidecache.yaml"
    async with ScriptedUpstream() as up:
        up.answer_with(answer)

        def write(number: int) -> None:
            file.write_text(f"""
upstreams: [{{url: "{up.url}"}}]
workers: {WORKERS}
admin: {{show_content: {str(number % 2 == 1).lower()}}}  # which needs a restart
l2_disk: {{enabled: true, directory: {tmp_path / "disk"}}}
reload: {{watch: false}}
log: {{requests: false}}
""")

        write(0)
        async with served(
            "", SIDECACHE_CONFIG=str(file), SIDECACHE_L2_DISK__ENABLED="true"
        ) as proxy:
            crowd = Crowd(lambda: proxy.address, CALLERS)

            async def roll() -> None:
                for number in range(1, TIMES + 1):
                    before = children(proxy.pid)
                    write(number)
                    proxy.signal(signal.SIGHUP)
                    rolled = await proxy.told("rolled")
                    assert rolled["refused"] == ""
                    await gone(before)

            await crowd.during(roll())
            proxy.signal(signal.SIGTERM)
            assert await proxy.ended() == 0

    assert crowd.failures == []
    assert crowd.wrong == []
    assert crowd.seen["HIT"] > CALLERS
    assert sum(crowd.seen.values()) > TIMES * CALLERS
    assert not [event for event in proxy.events if event.get("level") in {"warning", "error"}]
