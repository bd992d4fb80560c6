"""What a process takes up."""

from __future__ import annotations

import mmap
from pathlib import Path

from proxy.observe.process import own_bytes, small_bytes

MB = 2**20


def test_files_that_are_mapped_are_not_its_own(tmp_path: Path) -> None:
    file = tmp_path / "mapped"
    file.write_bytes(bytes(64 * MB))
    before = own_bytes()
    assert before is not None
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert mapped.find(b"x") < 0  # all of it is resident now
        with_file = own_bytes()
    # Bytes may come from what this process has free already.
    with mmap.mmap(-1, 64 * MB, flags=mmap.MAP_PRIVATE) as held:
        for page in range(0, len(held), mmap.PAGESIZE):
            held[page] = 1
        with_bytes = own_bytes()
    assert with_file is not None
    assert with_bytes is not None
    assert with_file - before < 32 * MB
    assert with_bytes - before > 32 * MB


def test_what_is_swapped_out_is_its_own(tmp_path: Path) -> None:
    told = "Name:\tä:b\nVmRSS:\t    9 kB\nRssAnon:\t    3 kB\nVmSwap:\t    4 kB\n"
    (tmp_path / "status").write_text(told)
    assert own_bytes(tmp_path) == 7 * 1024


def test_a_system_that_tells_less_tells_what_is_resident(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Name:\tx\nVmRSS:\t    9 kB\n")
    assert own_bytes(tmp_path) is None
    (tmp_path / "statm").write_text("9 5 1 1 0 1 0\n")
    assert own_bytes(tmp_path) == 5 * mmap.PAGESIZE


def test_a_system_that_has_no_such_files_tells_nothing(tmp_path: Path) -> None:
    assert own_bytes(tmp_path / "none") is None


def test_small_objects_are_no_longer_counted_once_they_are_freed() -> None:
    before = small_bytes()
    held = [float(number) for number in range(200_000)]
    with_them = small_bytes()
    held.clear()
    assert with_them - before > 10 * MB
    assert small_bytes() - before < 5 * MB
