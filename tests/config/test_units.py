from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from proxy.config.units import Address, Origin, SecretInFile, seconds, size, sized


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (0, 0.0), (5, 5.0), (0.25, 0.25), ("5", 5.0), ("0.5", 0.5), ("250ms", 0.25), ("30s", 30.0),
        ("5m", 300.0), ("1h30m", 5400.0), ("1 h 30 m", 5400.0), ("7d", 604800.0), (" 2S ", 2.0),
    ],
)  # fmt: skip
def test_durations_are_read_as_people_write_them(written: object, meant: float) -> None:
    assert seconds(written) == meant


@pytest.mark.parametrize(
    "written",
    [-1, True, None, "", "s", "5 minutes", "1h-1m", "-5s", "1e3s", float("nan"), float("inf"), [5]],
)
def test_what_is_no_duration_is_refused_with_what_would_be_one(written: object) -> None:
    with pytest.raises(ValueError, match="such as 250ms, 30s"):
        seconds(written)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (0, 0), (4096, 4096), ("4096", 4096), ("512KiB", 2**19), ("64MiB", 2**26), ("64Mi", 2**26),
        ("1 gib", 2**30), ("1.5KiB", 1536), ("1KB", 1000), ("1k", 1000), ("2T", 2 * 10**12),
        ("7B", 7),
    ],
)  # fmt: skip
def test_sizes_are_read_as_people_write_them(written: object, meant: int) -> None:
    assert size(written) == meant


@pytest.mark.parametrize(
    "written", [-1, 1.0, True, None, "", "MiB", "5 XB", "1.5", "0.3KiB", "-1KiB", "5s", {}]
)
def test_what_is_no_size_is_refused_with_what_would_be_one(written: object) -> None:
    with pytest.raises(ValueError, match="such as 512KiB, 64MiB"):
        size(written)


@given(st.integers(min_value=0, max_value=2**60))
def test_a_size_that_was_written_is_read_back(count: int) -> None:
    assert size(sized(count)) == count


@pytest.mark.parametrize(
    ("written", "host", "port"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080), ("[::1]:0", "::1", 0),
        (" localhost:1 ", "localhost", 1),
        ("0.0.0.0:65535", "0.0.0.0", 65535), ("[::ffff:10.0.0.1]:80", "::ffff:10.0.0.1", 80),
    ],
)  # fmt: skip
def test_an_address_is_read_and_written_back(written: str, host: str, port: int) -> None:
    address = Address.parse(written)
    assert (address.host, address.port) == (host, port)
    assert str(address) == written.strip()


@pytest.mark.parametrize(
    "written",
    ["8080", ":8080", "localhost", "::1:8080", "[::1]", "[x]:1", "[1:2]:3", "h:65536", "h:-1", "",
     "http://h:1", "u@h:1", "a b:1", 8080, None],
)  # fmt: skip
def test_what_is_no_address_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="must"):
        Address.parse(written)


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("LocalHost", True),
     ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("proxy.test", False)],
)  # fmt: skip
def test_only_addresses_of_this_machine_are_loopback(host: str, is_loopback: bool) -> None:
    assert Address(host, 1).is_loopback is is_loopback


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8000", "https://llm.example/v1", "http://[::1]:8000/a%2Fb", "http://h/"],
)
def test_a_backend_is_named_by_an_http_url(url: str) -> None:
    assert TypeAdapter(Origin).validate_python(url) == url.rstrip("/")


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("h:8000", "must be a URL"), ("ftp://h", "must be a URL"), ("http://", "must be a URL"),
        ("http://h:x", "must be a URL"), ("http://h:99999", "must be a URL"),
        ("http://u:p@h", "user name or password"), ("http://@h", "user name or password"),
        ("http://h/?a", "query"), ("http://h/#a", "fragment"), ("http://h/?", "query"),
        ("http://h/a b", "blanks"), ("http://h/\r\nx", "blanks"), ("http://h/{x}", "characters"),
    ],
)  # fmt: skip
def test_a_url_that_is_no_origin_is_refused(url: str, complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        TypeAdapter(Origin).validate_python(url)


def read_secret(path: Path) -> tuple[str, list[str]]:
    warnings: list[str] = []
    held = TypeAdapter(SecretInFile).validate_python(str(path), context=warnings)
    assert str(held) == str(path)
    return held.secret.get_secret_value(), warnings


def test_a_secret_is_read_from_its_file_without_the_line_end(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.touch(stat.S_IRUSR | stat.S_IWUSR)
    file.write_text("open sesame\n")
    assert read_secret(file) == ("open sesame", [])


def test_a_secret_file_that_all_can_read_is_warned_of(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("open sesame")
    file.chmod(0o644)
    secret, warnings = read_secret(file)
    assert secret == "open sesame"
    (warning,) = warnings
    assert str(file) in warning
    assert "sesame" not in warning


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"", "empty"), (b"\n", "empty"), (b"\xff\xfe", "UTF-8"), (b"a\nb", "one line"),
     (b"a" * 65537, "64 KiB")],
)  # fmt: skip
def test_a_file_that_holds_no_secret_is_refused(
    tmp_path: Path, content: bytes, complaint: str
) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(ValidationError, match=complaint):
        read_secret(file)


def test_a_secret_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="No such file"):
        read_secret(tmp_path / "none")


def test_a_directory_is_no_secret_file(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="readable file"):
        read_secret(tmp_path)
