"""The files that settings come from."""

from __future__ import annotations

import os
from pathlib import Path

from proxy.app.files import Looks, Next, named_in, stamp
from proxy.config.settings import Settings


def test_equal_content_has_an_equal_stamp_whenever_it_was_written(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for file in (one, two):
        file.write_text("a: 1\n")
    before = stamp([one, two])
    os.utime(one, (1, 1))
    one.unlink()
    one.write_text("a: 1\n")
    assert stamp([one, two]) == before
    two.write_text("a: 2\n")
    assert stamp([one, two]) != before
    assert stamp([two, one]) != stamp([one, two])


def test_a_file_that_goes_or_comes_is_a_change(tmp_path: Path) -> None:
    file = tmp_path / "one"
    absent = stamp([file])
    file.touch()
    empty = stamp([file])
    assert len({absent, empty, stamp([tmp_path])}) == 3


def test_a_pipe_is_left_alone(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert stamp([pipe]) == stamp([pipe])


def test_another_folder_behind_the_same_links_is_a_change(tmp_path: Path) -> None:
    file = tmp_path / "sidecache.yaml"
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / file.name).write_text(f"cache: {{ttl_s: {name}}}\n")
    data = tmp_path / "..data"
    data.symlink_to("1")
    file.symlink_to(Path("..data", file.name))
    before = stamp([file])
    swap = tmp_path / "..data_tmp"
    swap.symlink_to("2")
    swap.replace(data)
    assert stamp([file]) != before


def test_the_files_of_secrets_and_certificates_are_named(tmp_path: Path) -> None:
    token, key, ca = (tmp_path / name for name in ("token", "key", "ca"))
    for file in (token, key, ca):
        file.write_text("a secret of some length")
    settings = Settings.model_validate(
        {
            "admin": {"token_file": token},
            "upstreams": [
                {
                    "url": "https://a",
                    "set_headers_file": {"x-key": key},
                    "tls": {"ca_file": ca},
                }
            ],
        }
    )
    assert set(named_in(settings)) == {token, key, ca}
    assert named_in(Settings()) == ()


def test_what_holds_still_is_loaded_and_once() -> None:
    looks = Looks(retry_s=10)
    assert looks.next(b"1", b"1", 0, refused=False) is Next.REST
    assert looks.next(b"2", b"1", 1, refused=False) is Next.LOOK_AGAIN
    assert looks.next(b"3", b"1", 2, refused=False) is Next.LOOK_AGAIN
    assert looks.next(b"3", b"1", 3, refused=False) is Next.LOAD
    assert looks.next(b"3", b"3", 4, refused=False) is Next.REST


def test_what_is_put_back_before_it_was_loaded_is_left_alone() -> None:
    looks = Looks(retry_s=10)
    assert looks.next(b"2", b"1", 1, refused=False) is Next.LOOK_AGAIN
    assert looks.next(b"1", b"1", 2, refused=False) is Next.REST


def test_what_was_refused_is_tried_again_after_a_while() -> None:
    looks = Looks(retry_s=10)
    looks.tried(5)
    assert looks.next(b"1", b"1", 14, refused=True) is Next.REST
    assert looks.next(b"1", b"1", 15, refused=False) is Next.REST
    assert looks.next(b"1", b"1", 15, refused=True) is Next.LOAD
