from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.faults import Given
from proxy.config.load import Loaded, load
from proxy.config.settings import Settings
from proxy.model.errors import ConfigError


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str, name: str = "x.yaml") -> Path:
        file = tmp_path / name
        file.write_text(text)
        return file

    return write


def faults_of(file: Path | None = None, environ: dict[str, str] | None = None) -> list[str]:
    """What is wrong, the path of the file left out."""
    with pytest.raises(ConfigError) as refused:
        load(file, environ)
    head, *faults = str(refused.value).splitlines()
    count = f"{len(faults)} faults" if len(faults) > 1 else "a fault"
    assert head == f"the configuration has {count}:"
    return [fault.strip().replace(f"{file}:", "line ") for fault in faults]


def test_nothing_given_leaves_the_defaults() -> None:
    assert load() == Loaded(Settings(), {}, ())


def test_an_empty_file_leaves_the_defaults(written) -> None:
    assert load(written("")).settings == Settings()


def test_the_environment_wins_over_the_file_and_flags_over_both(written) -> None:
    file = written("listen: h:1\npseudonym: a\ncache: {ttl_s: 1, jitter: 0.5}\n")
    environ = {"SIDECACHE_PSEUDONYM": "b", "SIDECACHE_CACHE__TTL_S": "2s"}
    loaded = load(file, environ, [Given(("pseudonym",), "c", "--pseudonym")])
    assert str(loaded.settings.listen) == "h:1"
    assert loaded.settings.pseudonym == "c"
    assert (loaded.settings.cache.ttl_s, loaded.settings.cache.jitter) == (2.0, 0.5)
    assert loaded.sources == {
        ("listen",): f"{file}:1",
        ("pseudonym",): "--pseudonym",
        ("cache", "ttl_s"): "SIDECACHE_CACHE__TTL_S",
        ("cache", "jitter"): f"{file}:3",
    }


def test_a_group_from_the_environment_is_merged_and_a_list_replaced(written) -> None:
    file = written("log: {level: debug, format: text}\ncache: {inert_fields: [a, b]}\n")
    environ = {"SIDECACHE_LOG": "{format: json}", "SIDECACHE_CACHE__INERT_FIELDS": "c"}
    settings = load(file, environ).settings
    assert (settings.log.level, settings.log.format) == ("debug", "json")
    assert settings.cache.inert_fields == ("c",)


def test_an_item_of_a_list_can_be_changed_or_added_from_the_environment(written) -> None:
    file = written("upstreams:\n  - url: http://a:1\n    prefix: /a\n")
    environ = {
        "SIDECACHE_UPSTREAMS__0__URL": "http://b:1",
        "SIDECACHE_UPSTREAMS__1__URL": "http://c:1",
    }
    loaded = load(file, environ)
    assert [(u.url, u.prefix) for u in loaded.settings.upstreams] == [
        ("http://b:1", "/a"),
        ("http://c:1", "/"),
    ]
    assert loaded.sources["upstreams", 0, "prefix"] == f"{file}:3"
    assert loaded.sources["upstreams", 0, "url"] == "SIDECACHE_UPSTREAMS__0__URL"


def test_an_item_beyond_the_next_is_a_fault() -> None:
    assert faults_of(environ={"SIDECACHE_UPSTREAMS__1__URL": "http://b"}) == [
        (
            "upstreams.1.url (SIDECACHE_UPSTREAMS__1__URL): cannot be put there: "
            "the next item of upstreams is 0"
        ),
    ]


def test_a_value_put_into_what_is_no_group_is_a_fault(written) -> None:
    (fault,) = faults_of(written("log: loud\n"), {"SIDECACHE_LOG__LEVEL": "debug"})[:1]
    assert fault.startswith("log.level (SIDECACHE_LOG__LEVEL): cannot be put there")


def test_every_fault_is_told_at_once_with_its_place_and_what_would_be_right(written) -> None:
    file = written(
        """\
listen: 8080
cache:
  ttl: 5
  jitter: 1.5
  max_entry_bytes: 5 XB
  scope: {by: header}
upstreams:
  - url: http://u:p@a
  - url: http://b
    prefix: x
  - prefix: /x
flights: {wait_timeout_s: 90s, stall_timeout_s: 60, max_flights: nine}
admin: {listen: 0.0.0.0:99}
log: {format: xml, requests: maybe}
downstream: {trusted_proxies: [300.1.2.3, 10.0.0.0/8], drain_s: [1]}
chache: {}
""",
    )
    assert faults_of(file, {"SIDECACHE_LOG__LEVEL": "loud", "SIDECACHE_LIST": "x"}) == [
        "SIDECACHE_LIST: no such setting; did you mean SIDECACHE_LISTEN?",
        (
            "listen (line 1): must be host:port, such as 127.0.0.1:8080, [::1]:8080, "
            'or 0.0.0.0:8080 for all; given: "8080"'
        ),
        (
            "upstreams.0.url (line 8): must not hold a user name or password; use set_headers; "
            'given: "http://***@a"'
        ),
        (
            'upstreams.1.prefix (line 10): must begin with "/" and have no "//" or ".." in it; '
            'given: "x"'
        ),
        "upstreams.2.url (line 11): must be given",
        (
            "admin.listen (line 13): 0.0.0.0:99 lets in others than this machine: "
            "give a `token` or `token_file`"
        ),
        (
            "downstream.drain_s (line 15): must be seconds, or a duration such as 250ms, 30s, 5m, "
            "1h30m or 7d"
        ),
        (
            "downstream.trusted_proxies.0 (line 15): must be an address or a network, such as "
            '10.0.0.0/8 or 2001:db8::/32; given: "300.1.2.3"'
        ),
        'cache.jitter (line 4): must be a number from 0, below 1; given: "1.5"',
        (
            "cache.max_entry_bytes (line 5): must be bytes, or a size such as 512KiB, 64MiB or "
            '1GB; given: "5 XB"'
        ),
        "cache.scope.by (line 6): `by: header` needs a `header`",
        "cache.ttl (line 3): no such setting; did you mean cache.ttl_s?",
        'flights.max_flights (line 12): must be a whole number from 1; given: "nine"',
        'log.format (line 14): must be `json` or `text`; given: "xml"',
        'log.requests (line 14): must be true or false; given: "maybe"',
        (
            "log.level (SIDECACHE_LOG__LEVEL): must be `debug` or `info` or `warning` or `error`; "
            'given: "loud"'
        ),
        "chache (line 16): no such setting; did you mean cache?",
        (
            "flights.stall_timeout_s (line 12): `stall_timeout_s` must not be shorter than "
            "`wait_timeout_s`, or newcomers would overtake those who wait"
        ),
    ]


def test_settings_are_not_compared_with_one_that_is_wrong_itself(written) -> None:
    file = written("flights: {wait_timeout_s: soon, stall_timeout_s: 1}\n")
    (fault,) = faults_of(file)
    assert fault.startswith("flights.wait_timeout_s (line 1): must be seconds")


def test_faults_keep_their_place_when_items_before_them_are_wrong(written) -> None:
    file = written(
        """\
upstreams:
  - {url: "ftp://a"}
  - {url: "http://b", prefix: /b}
  - {url: "http://c", prefix: /b/}
  - {url: "http://b", prefix: /d}
"""
    )
    assert faults_of(file) == [
        (
            "upstreams.0.url (line 2): must be a URL, such as http://127.0.0.1:8000 or "
            'https://llm.example; given: "ftp://a"'
        ),
        'upstreams.2.prefix (line 4): "/b/" is also the prefix of another backend',
        'upstreams.3.id (line 5): "b" is also the name of another backend; give each an `id`',
    ]


def test_a_misplaced_setting_is_sent_to_its_group(written) -> None:
    assert faults_of(written("max_total_bytes: 5\n")) == [
        "max_total_bytes (line 1): no such setting; did you mean flights.max_total_bytes?"
    ]


def test_an_unknown_name_near_to_nothing_is_told_alone(written) -> None:
    assert faults_of(written("xyzzy: 5\n")) == ["xyzzy (line 1): no such setting"]


def test_a_group_that_is_no_mapping_and_a_list_that_is_none_are_told(written) -> None:
    assert faults_of(written("cache: 5\nupstreams: http://a\n")) == [
        "upstreams (line 2): must be a list",
        "cache (line 1): must be a mapping of names to values",
    ]


def test_a_number_where_text_belongs_is_to_be_quoted(written) -> None:
    assert faults_of(written("pseudonym: 5\n")) == [
        'pseudonym (line 1): must be text; put it in quotes; given: "5"'
    ]


def test_what_is_wrong_in_toml_is_told_by_its_file(written) -> None:
    file = written('[cache]\nttl_s = "x"\n', "x.toml")
    (fault,) = faults_of(file)
    assert fault.startswith(f"cache.ttl_s ({file}): must be seconds")


def test_an_unreadable_file_does_not_hide_what_else_is_wrong(tmp_path: Path) -> None:
    faults = faults_of(tmp_path / "none", {"SIDECACHE_PSEUDONYM": "a b"})
    assert len(faults) == 2
    assert "cannot be read" in faults[0]
    assert faults[1].startswith("pseudonym (SIDECACHE_PSEUDONYM): must be one word")


def test_a_value_too_long_to_be_read_is_cut_and_control_characters_are_written_out(written) -> None:
    (fault,) = faults_of(written(f'listen: "{"x" * 500}"\n'))
    assert len(fault) < 300
    (fault,) = faults_of(written('listen: "\\e[31m"\n'))
    assert "\x1b" not in fault
    assert "\\x1b" in fault


CANARY = "hunter2hunter2hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f'admin: {{token: "{CANARY}\\n"}}',
        f"admin: {{token: [{CANARY}]}}",
        f"admin: {{tokn: {CANARY}}}",
        f"admin: {CANARY}",
        f"cache: {{scope: {{secret: {CANARY}, secret_file: /none}}}}",
        f"cache: {{scope: {{secret: {CANARY[:10]}}}}}",
        f"upstreams: [{{url: 'http://u:{CANARY}@h'}}]",
        f'upstreams: [{{url: "http://h", set_headers: {{authorization: "{CANARY}\\n"}}}}]',
        f'upstreams: [{{url: "http://h", set_headers: {{connection: "{CANARY}"}}}}]',
        f"upstreams: {CANARY}",
    ],
)
def test_no_fault_shows_a_secret(written, text: str) -> None:
    faults = faults_of(written(text + "\n"))
    assert faults
    assert CANARY[:10] not in "\n".join(faults)


def test_a_secret_file_that_all_can_read_is_warned_of_once(tmp_path: Path, written) -> None:
    secret = tmp_path / "token"
    secret.write_text("t0ken")
    secret.chmod(0o644)
    loaded = load(written(f"admin: {{token_file: {secret}}}\n"))
    assert loaded.settings.admin.bearer == "t0ken"
    assert len(loaded.warnings) == 1
