"""The tally: one number that several processes count up and read without waiting."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from proxy.tiers.tally import Tally

ROOT = Path(__file__).parents[2]

STEPS = """
import sys
from pathlib import Path
from proxy.tiers.tally import Tally

tally = Tally(Path(sys.argv[1]))
tally.open(instant=False)
for _ in range(1000):
    tally.step()
tally.close()
"""


def opened(path: Path, *, instant: bool = False) -> Tally:
    tally = Tally(path)
    tally.open(instant=instant)
    return tally


def test_each_step_counts_one_and_tells_the_count_before(tmp_path: Path) -> None:
    tally = opened(tmp_path / "tally")
    assert [tally.step() for _ in range(3)] == [0, 1, 2]
    assert tally.count == 3
    tally.close()


def test_what_another_process_counts_is_seen_at_once(tmp_path: Path) -> None:
    tally = opened(tmp_path / "tally")
    tally.step()
    subprocess.run(
        [sys.executable, "-c", STEPS, str(tmp_path / "tally")], cwd=ROOT, check=True, timeout=30
    )
    assert tally.count == 1001
    tally.close()


def test_it_goes_on_where_it_was_and_may_be_opened_again(tmp_path: Path) -> None:
    tally = opened(tmp_path / "tally")
    tally.step()
    tally.close()
    tally.close()
    tally.open(instant=False)
    assert tally.step() == 1
    tally.close()


def test_it_is_for_its_owner_only(tmp_path: Path) -> None:
    opened(tmp_path / "tally").close()
    assert (tmp_path / "tally").stat().st_mode & 0o777 == 0o600


def test_a_place_where_it_cannot_be_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        opened(tmp_path / "missing" / "tally")


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="nobody tells what is locked")
def test_an_instant_one_stays_in_memory(tmp_path: Path) -> None:
    tally = opened(tmp_path / "tally", instant=True)
    _, _, rest = Path("/proc/self/smaps").read_text().partition(str(tmp_path / "tally"))
    locked = int(rest.partition("Locked:")[2].split()[0])
    assert (locked > 0) == tally.instant
    tally.close()
    assert not tally.instant
