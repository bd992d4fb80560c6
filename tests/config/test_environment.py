from __future__ import annotations

import pytest

from proxy.config.environment import _OF_A_SERVICE, from_environment, variable
from proxy.config.faults import Given
from proxy.config.outline import Kind, outline


def given_by(**environ: str) -> list[tuple[object, object]]:
    given, faults = from_environment(environ)
    assert not faults
    return [(each.place, each.value) for each in given]


def faults_of(**environ: str) -> list[str]:
    return [str(fault) for fault in from_environment(environ)[1]]


def test_two_underscores_go_one_group_deeper() -> None:
    given, _faults = from_environment({"SIDECACHE_DOWNSTREAM__LIMITS__MAX_HEADERS": "9"})
    assert given == [
        Given(
            ("downstream", "limits", "max_headers"),
            "9",
            "SIDECACHE_DOWNSTREAM__LIMITS__MAX_HEADERS",
        )
    ]


def test_scalars_are_left_as_they_are_written() -> None:
    assert given_by(SIDECACHE_LISTEN="[::1]:8080") == [(("listen",), "[::1]:8080")]
    assert given_by(SIDECACHE_ADMIN__TOKEN="0123") == [(("admin", "token"), "0123")]


def test_null_takes_away_an_optional_value_only() -> None:
    assert given_by(SIDECACHE_DOWNSTREAM__LIMITS__MAX_BODY_BYTES="null")[0][1] is None
    assert given_by(SIDECACHE_PSEUDONYM="null")[0][1] == "null"


def test_an_empty_variable_counts_as_absent() -> None:
    assert given_by(SIDECACHE_LISTEN="", SIDECACHE_NONSENSE="") == []


def test_what_tells_commands_where_a_proxy_is_is_no_setting() -> None:
    named = {"URL": "http://a", "TOKEN": "t", "TOKEN_FILE": "/f"}
    assert given_by(**{f"SIDECACHE_ADMIN_{name}": value for name, value in named.items()}) == []
    assert faults_of(SIDECACHE_ADMIN_URLS="x") != []


def test_lists_are_given_as_yaml_or_as_words_with_commas() -> None:
    for written in ("a,b", "a, b", "[a, b]", '["a", "b"]'):
        assert given_by(SIDECACHE_CACHE__INERT_FIELDS=written)[0][1] == ["a", "b"]


def test_groups_and_lists_of_them_are_given_as_yaml() -> None:
    assert given_by(SIDECACHE_LOG="{level: debug}")[0][1] == {"level": "debug"}
    assert given_by(SIDECACHE_CACHE__RULES='[{"model": "x"}]')[0][1] == [{"model": "x"}]


def test_a_number_picks_an_item_and_groups_come_before_what_is_in_them() -> None:
    given = given_by(
        SIDECACHE_UPSTREAMS__10__URL="http://k",
        SIDECACHE_UPSTREAMS__2__URL="http://c",
        SIDECACHE_UPSTREAMS="[]",
    )
    assert [place for place, _value in given] == [
        ("upstreams",),
        ("upstreams", 2, "url"),
        ("upstreams", 10, "url"),
    ]


def test_one_backend_has_a_short_name() -> None:
    assert given_by(SIDECACHE_UPSTREAM="http://a:1") == [(("upstreams",), [{"url": "http://a:1"}])]


def test_the_name_of_the_file_is_no_setting() -> None:
    assert given_by(SIDECACHE_CONFIG="/etc/sidecache.yaml") == []


def test_other_variables_are_nobodys_business() -> None:
    assert given_by(PATH="/bin", SIDECACHEX="1", _SIDECACHE_COMPLETE="bash_source") == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SIDECACHE_L1_MEMORY__MAX_BITES", "SIDECACHE_L1_MEMORY__MAX_BYTES"),
        ("SIDECACHE_CACHE_TTL_S", "SIDECACHE_CACHE__TTL_S"),
        ("SIDECACHE_UPSTREM", "SIDECACHE_UPSTREAM"),
        ("SIDECACHE_UPSTREAM__0__URL", "SIDECACHE_UPSTREAMS__0__URL"),
    ],
)
def test_an_unknown_name_is_a_fault_that_names_the_nearest(name: str, meant: str) -> None:
    assert faults_of(**{name: "1"}) == [f"{name}: no such setting; did you mean {meant}?"]


def test_an_unknown_name_near_to_nothing_is_a_fault_too() -> None:
    assert faults_of(SIDECACHE_XYZZY_PLUGH_QUX="1") == [
        "SIDECACHE_XYZZY_PLUGH_QUX: no such setting"
    ]


def test_a_value_that_is_no_yaml_is_a_fault_that_does_not_quote_it() -> None:
    (fault,) = faults_of(SIDECACHE_UPSTREAMS="[{url: hunter2")
    assert fault.startswith("upstreams (SIDECACHE_UPSTREAMS): is not YAML")
    assert "hunter2" not in fault


@pytest.mark.parametrize(
    "name",
    [
        "SIDECACHE_SERVICE_HOST", "SIDECACHE_SERVICE_PORT", "SIDECACHE_SERVICE_PORT_HTTP",
        "SIDECACHE_PORT", "SIDECACHE_PORT_8080_TCP", "SIDECACHE_PORT_8080_TCP_PROTO",
        "SIDECACHE_PORT_8080_TCP_PORT", "SIDECACHE_PORT_8080_TCP_ADDR",
        "SIDECACHE_ADMIN_SERVICE_HOST", "SIDECACHE_ADMIN_PORT_8081_UDP_ADDR",
    ],
)  # fmt: skip
def test_what_kubernetes_makes_up_for_a_service_is_ignored(name: str) -> None:
    assert given_by(**{name: "tcp://10.0.0.1:8080"}) == []


def test_no_setting_looks_like_what_kubernetes_makes_up() -> None:
    assert not [s.name for s in outline() if _OF_A_SERVICE.fullmatch(variable(s))]


def test_no_two_settings_share_a_variable() -> None:
    names = [variable(setting) for setting in outline() if setting.kind is not Kind.SECTION]
    assert len(names) == len(set(names))
