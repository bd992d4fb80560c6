"""The limit on memory, in trees of files as kernels, containers and services make them."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.host.cgroup import memory_limit, total_memory

GIB = 2**30
NO_LIMIT_V1 = 9223372036854771712
V2 = "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory"
CPU = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu"
ROOT_DISK = "23 1 254:1 / / rw,relatime - ext4 /dev/root rw"


def machine(root: Path, groups: str, mounts: str, **files: str | int) -> Path:
    """A machine with these control groups; ``files`` by path, slashes as two underscores."""
    own = root / "proc/self"
    own.mkdir(parents=True)
    (own / "cgroup").write_text(f"{groups}\n")
    (own / "mountinfo").write_text(f"{mounts}\n")
    for name, content in files.items():
        put(root, name.replace("__", "/").replace("_DOT_", "."), content)
    return root


def put(root: Path, path: str, content: str | int) -> None:
    file = root / "sys/fs/cgroup" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{content}\n")


def test_a_container_sees_its_limit_at_the_root_of_what_it_sees(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/", V2, memory_DOT_max=GIB)
    limit = memory_limit(64 * GIB, root)
    assert limit is not None
    assert (limit.bytes, limit.folder) == (GIB, root / "sys/fs/cgroup")


def test_the_tightest_limit_on_the_way_to_the_root_counts(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/system.slice/sidecache.service", V2)
    put(root, "system.slice/sidecache.service/memory.max", "max")
    put(root, "system.slice/memory.max", 2 * GIB)
    put(root, "memory.max", 8 * GIB)
    limit = memory_limit(64 * GIB, root)
    assert limit is not None
    assert (limit.bytes, limit.folder.name) == (2 * GIB, "system.slice")


def test_where_processes_are_slowed_down_counts_as_a_limit(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/", V2, memory_DOT_max=2 * GIB, memory_DOT_high=GIB)
    limit = memory_limit(64 * GIB, root)
    assert limit is not None
    assert limit.bytes == GIB


@pytest.mark.parametrize("content", ["max", str(64 * GIB), str(NO_LIMIT_V1), "", "many"])
def test_what_is_no_less_than_the_machine_has_is_no_limit(tmp_path: Path, content: str) -> None:
    root = machine(tmp_path, "0::/", V2, memory_DOT_max=content)
    assert memory_limit(64 * GIB, root) is None


def test_version_1_has_a_limit_of_its_own(tmp_path: Path) -> None:
    root = machine(tmp_path, "5:cpu:/\n4:memory:/docker/abc\n0::/", f"{ROOT_DISK}\n{CPU}\n{V1}")
    put(root, "memory/memory.limit_in_bytes", NO_LIMIT_V1)
    put(root, "memory/docker/memory.limit_in_bytes", NO_LIMIT_V1)
    put(root, "memory/docker/abc/memory.limit_in_bytes", GIB)
    put(root, "memory/docker/abc/memory.usage_in_bytes", 1000)
    put(
        root,
        "memory/docker/abc/memory.stat",
        "cache 5\ntotal_active_file 100\ntotal_inactive_file 50",
    )
    limit = memory_limit(64 * GIB, root)
    assert limit is not None
    assert (limit.bytes, limit.used()) == (GIB, 850)


def test_a_container_of_version_1_sees_its_own_group_where_it_is_mounted(tmp_path: Path) -> None:
    mounted = V1.replace(" / /sys/fs/cgroup/memory", " /docker/abc /sys/fs/cgroup/memory")
    root = machine(tmp_path, "4:memory:/docker/abc", mounted)
    put(root, "memory/memory.limit_in_bytes", GIB)
    limit = memory_limit(64 * GIB, root)
    assert limit is not None
    assert limit.bytes == GIB


@pytest.mark.parametrize("group", ["/../../elsewhere", "/kubepods/pod1/c2"])
def test_a_group_that_cannot_be_seen_is_limited_by_what_can(tmp_path: Path, group: str) -> None:
    root = machine(tmp_path, f"0::{group}", V2, memory_DOT_max=GIB)
    limit = memory_limit(64 * GIB, root)
    assert limit is not None
    assert limit.bytes == GIB


def test_the_cache_of_files_is_not_in_use(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/", V2, memory_DOT_max=GIB, memory_DOT_current=900)
    put(
        root, "memory.stat",
        "anon 300\nfile 500\nshmem 50\nactive_file 350\ninactive_file 100\nslab_reclaimable 20",
    )  # fmt: skip
    limit = memory_limit(None, root)
    assert limit is not None
    assert limit.used() == 900 - 350 - 100 - 20


def test_what_cannot_be_read_is_not_known(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/", V2, memory_DOT_max=GIB)
    limit = memory_limit(None, root)
    assert limit is not None
    assert limit.used() is None
    put(root, "memory.stat", "anon 5")
    assert limit.used() is None


def test_a_machine_without_control_groups_has_no_limit(tmp_path: Path) -> None:
    assert memory_limit(GIB, tmp_path) is None
    assert memory_limit(GIB, machine(tmp_path / "odd", "nonsense", "nonsense - ")) is None


def test_this_machine_can_be_asked() -> None:
    total = total_memory()
    assert total is None or total > 2**20
    limit = memory_limit(total)
    assert limit is None or limit.used() is not None
