"""What a reload changes, and what it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.config.changes import (
    certificates,
    changes,
    contents,
    is_live,
    leaves,
    refuse_what_is_fixed,
)
from proxy.config.outline import Kind, outline
from proxy.config.settings import Settings
from proxy.model.errors import ConfigError

UPSTREAM = {"url": "http://a"}


def settings(**given: Any) -> Settings:
    return Settings.model_validate({"upstreams": [UPSTREAM], **given})


def test_equal_settings_have_no_changes() -> None:
    assert changes(settings(cache={"ttl_s": "1h"}), settings(cache={"ttl_s": 3600})) == ()


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"cache": {"ttl_s": 1}}, "cache.ttl_s"),
        ({"downstream": {"limits": {"max_headers": 7}}}, "downstream.limits.max_headers"),
        ({"upstreams": [{**UPSTREAM, "id": "b"}]}, "upstreams.0.id"),
        (
            {"upstreams": [{**UPSTREAM, "set_headers": {"X-Key": "hidden"}}]},
            "upstreams.0.set_headers.x-key",
        ),
        ({"cache": {"inert_headers": ["x-a"]}}, "cache.inert_headers"),
        ({"admin": {"token": "hidden"}}, "admin.token"),
    ],
)
def test_a_change_is_named_both_ways_and_no_value_is(given: dict[str, Any], name: str) -> None:
    for told in (changes(settings(), settings(**given)), changes(settings(**given), settings())):
        assert name in told
        assert "hidden" not in str(told)


def test_a_backend_more_is_told_by_its_place() -> None:
    more = settings(upstreams=[UPSTREAM, {"url": "http://b", "prefix": "/b"}])
    for told in (changes(settings(), more), changes(more, settings())):
        assert "upstreams.1.url" in told
        assert not any(name.startswith("upstreams.0") for name in told)


def test_another_secret_in_the_same_file_is_a_change(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    before = settings(admin={"token_file": file})
    file.write_text("two")
    assert changes(before, settings(admin={"token_file": file})) == ("admin.token_file",)


@pytest.mark.parametrize(
    "name",
    ["upstreams.3.set_headers.x", "cache", "cache.ttl_s", "cache.scope.by", "admin.token", "tls"],
)
def test_what_requests_are_answered_by_is_taken_over(name: str) -> None:
    assert is_live(name)


@pytest.mark.parametrize(
    "name",
    [
        "listen", "admin.listen", "admin.enabled", "cache.scope.secret", "l2_disk.directory",
        "l2_redis.url_file", "storage.encryption_keys", "semantic.threshold", "log.format",
        "something.new", "cached", "tlsx.y",
    ],
)  # fmt: skip
def test_the_rest_needs_a_restart_and_so_does_what_nobody_has_thought_of(name: str) -> None:
    assert not is_live(name)


def test_all_that_needs_a_restart_is_named_at_once() -> None:
    after = settings(listen="127.0.0.1:1", l2_disk={"enabled": False}, cache={"ttl_s": 1})
    before = settings()
    with pytest.raises(ConfigError) as refused:
        refuse_what_is_fixed(before, after, changes(before, after))
    assert "  listen: needs a restart" in str(refused.value)
    assert "  l2_disk.enabled: needs a restart" in str(refused.value)
    assert "ttl_s" not in str(refused.value)


def test_other_certificates_are_taken_over_but_https_is_not_begun_or_ended() -> None:
    plain, other = settings(), settings(tls={"cert_file": __file__})
    for before, after in ((plain, other), (other, plain)):
        with pytest.raises(ConfigError, match=r"tls\.cert_file: needs a restart"):
            refuse_what_is_fixed(before, after, changes(before, after))
    another = (
        settings(tls={"cert_file": Path(__file__).parent / "conftest.py"})
        if (Path(__file__).parent / "conftest.py").exists()
        else other
    )
    refuse_what_is_fixed(other, another, changes(other, another))


def test_what_is_in_certificates_counts_too(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("one")
    one = settings(upstreams=[{"url": "https://a", "tls": {"ca_file": file}}])
    place = ("upstreams", 0, "tls", "ca_file")
    assert certificates(one) == {place: file}
    before = contents(one)
    file.write_text("two")
    assert contents(one)[place] != before[place]
    file.unlink()
    with pytest.raises(ConfigError, match=r"upstreams\.0\.tls\.ca_file: .*ca.pem: No such file"):
        contents(one)


def test_a_certificate_of_a_megabyte_is_none(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(b"x" * (2**20 + 1))
    one = settings(upstreams=[{"url": "https://a", "tls": {"ca_file": file}}])
    with pytest.raises(ConfigError, match="longer than"):
        contents(one)


def test_every_setting_has_a_leaf() -> None:
    groups = {Kind.SECTION, Kind.SECTIONS}
    known = {".".join(map(str, place)) for place in leaves(Settings())}
    for setting in outline():
        if setting.kind not in groups and "*" not in setting.path:
            assert setting.name in known
