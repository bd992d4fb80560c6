"""What a worker has in common with others, by its settings and its directory."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from proxy.app.replicas import Written, relay
from proxy.app.store import Store
from proxy.config.settings import Settings
from proxy.fleet.post_redis import RedisPost
from proxy.fleet.post_socket import SocketPost
from proxy.fleet.relay import Relay

NO_DISK = {"l2_disk": {"enabled": False}}
REDIS = {"url": "redis://127.0.0.1:1/0"}


def made(directory: Path | None, **given: Any) -> tuple[Relay | None, Store]:
    settings = Settings.model_validate(NO_DISK | given)
    store = Store(settings)
    return relay(settings, b"secret", store, lambda _bug: None, directory), store


def test_one_alone_has_nobody_to_meet() -> None:
    assert made(None)[0] is None


def test_workers_of_one_host_meet_in_their_directory(tmp_path: Path) -> None:
    found, _ = made(tmp_path)
    assert found is not None
    assert isinstance(found.post, SocketPost)
    assert found._leader._stored is None  # what one of them stores is its own


def test_where_there_is_a_redis_they_meet_there_with_all_replicas(tmp_path: Path) -> None:
    for directory in (tmp_path, None):
        found, store = made(directory, l2_redis=REDIS)
        assert found is not None
        assert isinstance(found.post, RedisPost)
        assert store.behind is not None
        assert found._leader._stored == Written(store.ladder.handed_on, store.behind.written)


def test_where_replicas_are_not_to_meet_workers_still_do(tmp_path: Path) -> None:
    apart = REDIS | {"flights": False}
    assert made(None, l2_redis=apart)[0] is None
    found, store = made(tmp_path, l2_redis=apart)
    assert found is not None
    assert isinstance(found.post, SocketPost)
    assert store.behind is not None
    assert found._leader._stored == Written(store.ladder.handed_on, store.behind.written)


def test_what_is_on_disk_can_be_found_by_all_workers(tmp_path: Path) -> None:
    disk = {"enabled": True, "directory": str(tmp_path / "kept")}
    found, store = made(tmp_path, l2_disk=disk)
    assert found is not None
    assert store.disk is not None
    assert found._leader._stored == Written(store.ladder.handed_on, store.disk.settled)


async def test_a_directory_that_cannot_be_used_is_told_once_and_costs_calls_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found, _ = made(tmp_path / "no" / "such")
    assert found is not None
    with caplog.at_level(logging.WARNING):
        await found.start()
    await found.close()
    assert [record.getMessage() for record in caplog.records] == ["flights not shared"]
    assert not found.post.is_open


async def test_that_all_is_well_is_not_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found, _ = made(tmp_path)
    assert found is not None
    with caplog.at_level(logging.DEBUG):
        await found.start()
        assert found.post.is_open
        await found.close()
    assert caplog.records == []
