from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from proxy.config.outline import EACH, Kind, Setting, outline
from proxy.config.section import Section
from proxy.config.settings import Settings

SETTINGS = list(outline())
CANARY = "hunter2hunter2hunter2"


def made(**tree: Any) -> Settings:
    return Settings.model_validate(tree)


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text("a secret that is long enough")
    return file


def with_file(tree: dict[str, Any], file: Path) -> dict[str, Any]:
    """``tree`` with the path of a real file wherever it says FILE."""
    named = {name: file if value == "FILE" else value for name, value in tree.items()}
    return {
        name: with_file(value, file) if isinstance(value, dict) else value
        for name, value in named.items()
    }


def complaint(**tree: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        made(**tree)
    return "\n".join(error["msg"] for error in refused.value.errors())


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_says_what_it_means(setting: Setting) -> None:
    assert setting.description[:1].isupper()
    assert setting.description.endswith(".")


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_number_has_its_unit_in_its_name_or_counts_things(setting: Setting) -> None:
    if setting.each_accepts.startswith("a duration"):
        assert setting.name.endswith("_s")
    if setting.each_accepts.startswith("a size"):
        assert setting.name.endswith("_bytes")
    assert setting.name.endswith("_s") == setting.each_accepts.startswith("a duration")


def test_every_group_is_closed_and_frozen() -> None:
    groups: set[type[Section]] = {s.section for s in SETTINGS if s.section} | {Settings}
    assert len(groups) > 10
    for group in groups:
        assert group.model_config["extra"] == "forbid"
        assert group.model_config["frozen"]


def test_every_setting_but_those_of_things_to_be_named_has_a_default() -> None:
    assert [s.name for s in SETTINGS if s.is_required] == [
        f"upstreams.{EACH}.url",
        f"storage.encryption_keys.{EACH}.id",
        f"embeddings.batching.models.{EACH}.model",
        f"embeddings.batching.models.{EACH}.max_inputs",
        f"degradation.standby.{EACH}.url",
        *(f"degradation.retrieval.{EACH}.{name}" for name in ("url", "route", "documents", "text")),
        f"degradation.message.{EACH}.text",
        f"rag.{EACH}.paths",
        f"savings.prices.{EACH}.input",
    ]


def test_only_what_ends_in_file_or_is_masked_holds_a_secret() -> None:
    assert [s.name for s in SETTINGS if s.is_secret] == [
        f"upstreams.{EACH}.set_headers",
        "admin.token",
        "cache.scope.secret",
        "l2_redis.url",
        "l2_redis.sentinel_password",
        f"storage.encryption_keys.{EACH}.secret",
        "semantic.embedder.api_key",
        "semantic.index.url",
        "semantic.index.api_key",
        f"degradation.standby.{EACH}.set_headers",
        f"degradation.retrieval.{EACH}.set_headers",
        "tracing.headers",
    ]
    files = {s.name for s in SETTINGS}
    assert {f"upstreams.{EACH}.set_headers_file", "admin.token_file"} <= files
    assert "cache.scope.secret_file" in files


def test_lists_and_groups_are_told_apart() -> None:
    kinds = {s.name: s.kind for s in SETTINGS}
    assert kinds["upstreams"] is Kind.SECTIONS
    assert kinds["cache"] is Kind.SECTION
    assert kinds["cache.inert_fields"] is Kind.LIST
    assert kinds[f"upstreams.{EACH}.set_headers"] is Kind.MAPPING
    assert kinds["cache.ttl_s"] is Kind.SCALAR


def test_secrets_are_masked_in_every_output() -> None:
    settings = made(
        admin={"token": CANARY},
        cache={"scope": {"secret": CANARY}},
        upstreams=[{"url": "http://h", "set_headers": {"X-Api-Key": CANARY}}],
    )
    for shown in (
        repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump()),
        str(settings.upstreams), repr(settings.admin),
    ):  # fmt: skip
        assert CANARY not in shown
    assert settings.admin.bearer == CANARY
    assert settings.cache.scope.key == CANARY.encode()
    assert settings.upstreams[0].headers == {"x-api-key": CANARY}


def test_secrets_from_files_are_masked_and_used(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(CANARY)
    settings = made(
        admin={"token_file": file},
        cache={"scope": {"secret_file": file}},
        upstreams=[{"url": "http://h", "set_headers_file": {"authorization": file}}],
    )
    assert CANARY not in repr(settings) + settings.model_dump_json()
    assert settings.admin.bearer == CANARY
    assert settings.cache.scope.key == CANARY.encode()
    assert settings.upstreams[0].headers == {"authorization": CANARY}


@pytest.mark.parametrize(
    "status",
    [200, 301, 399, 401, 402, 403, 407, 408, 409, 421, 423, 424, 425, 429, 431, 500, 502, 503, 599],
)
def test_an_error_about_the_caller_the_moment_or_the_server_cannot_be_kept(status: int) -> None:
    said = complaint(cache={"negative": {"statuses": [404, status]}})
    assert "about the caller, the moment or the server" in said


@pytest.mark.parametrize("status", [400, 404, 405, 410, 413, 414, 415, 422, 451])
def test_an_error_about_the_question_can_be_kept(status: int) -> None:
    assert made(cache={"negative": {"statuses": [status]}}).cache.kept_statuses == (status,)


def test_errors_are_kept_where_callers_share_only_if_that_is_said() -> None:
    shared = {"by": "shared"}
    assert made(cache={"scope": shared}).cache.kept_statuses == ()
    assert 404 in made(cache={"scope": shared, "negative": {"shared": True}}).cache.kept_statuses


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "proxy.test:1"])
def test_an_admin_listener_for_others_needs_a_token(listen: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("t0ken")
    assert "lets in others" in complaint(admin={"listen": listen})
    assert made(admin={"listen": listen, "token": "t0ken"}).admin.bearer == "t0ken"
    assert made(admin={"listen": listen, "token_file": file}).admin.bearer == "t0ken"
    assert not made(admin={"listen": listen, "enabled": False}).admin.enabled


def test_the_two_listeners_must_differ_where_both_are_there() -> None:
    assert "must differ" in complaint(listen="h:1", admin={"listen": "h:1", "token": "t"})
    made(listen="127.0.0.1:0", admin={"listen": "127.0.0.1:0"})
    made(listen="127.0.0.1:8081", admin={"enabled": False})


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"admin": {"token": "t", "token_file": "FILE"}}, "cannot both be given"),
        ({"admin": {"token": ""}}, "must not be empty"),
        ({"admin": {"allow_export": True}}, "to export entries takes a `token`"),
        ({"admin": {"allow_import": True}}, "to import entries takes a `token`"),
        ({"admin": {"token": "a\nb"}}, "control characters"),
        ({"tls": {"key_file": "FILE"}}, "needs a `cert_file`"),
        ({"cache": {"scope": {"by": "header"}}}, "needs a `header`"),
        ({"cache": {"scope": {"header": "x"}}}, "only for `by: header`"),
        ({"cache": {"scope": {"secret": "s" * 15}}}, "at least 16"),
        ({"cache": {"inert_headers": ["X-A"], "keyed_headers": ["x-a"]}}, "both inert and keyed"),
        ({"cache": {"scope": {"secret": "s" * 16, "secret_file": "FILE"}}}, "cannot both be given"),
        ({"flights": {"wait_timeout_s": 2, "stall_timeout_s": 1}}, "must not be shorter"),
        ({"cache": {"negative": {"ttl_s": 121}}}, "at most 120 s"),
        ({"cache": {"rules": [{"negative_ttl_s": "1h"}]}}, "at most 120 s"),
        ({"cache": {"negative": {"ttl_s": -1}}}, "must be seconds"),
        ({"cache": {"negative": {"codes": [""]}}}, "at least 1 character"),
        ({"flights": {"max_flight_bytes": 2, "max_total_bytes": 1}}, "must not be more"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    tree: dict[str, Any], words: str, secret_file: Path
) -> None:
    assert words in complaint(**with_file(tree, secret_file))


@pytest.mark.parametrize(
    ("upstream", "words"),
    [
        ({"tls": {"key_file": "FILE"}}, "needs a `cert_file`"),
        ({"set_headers": {"Content-Length": "1"}}, "the proxy's own"),
        ({"set_headers_file": {"via": "FILE"}}, "the proxy's own"),
        ({"set_headers": {"A": "1"}, "set_headers_file": {"a": "FILE"}}, "too"),
        ({"id": "a/b"}, "pattern"),
        ({"id": "-a"}, "pattern"),
        ({"prefix": "/a//b"}, "must begin"),
        ({"prefix": "/a/../b"}, "must begin"),
        ({"prefix": "/a?b"}, "must be a path"),
    ],
)
def test_a_backend_that_cannot_be_is_refused(
    upstream: dict[str, Any], words: str, secret_file: Path
) -> None:
    upstream = {"url": "http://h", **with_file(upstream, secret_file)}
    assert words in complaint(upstreams=[upstream])


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"cache": {"ttl_s": 0}}, "longer than no time"),
        ({"cache": {"jitter": 1}}, "less than 1"),
        ({"cache": {"jitter": True}}, "must be a number"),
        ({"cache": {"max_temperature": 2.5}}, "less than or equal to 2"),
        ({"cache": {"inert_cookies": ["a=b"]}}, "name of a cookie"),
        ({"cache": {"inert_headers": ["a: b"]}}, "name of a header"),
        ({"flights": {"max_flights": 0}}, "greater than or equal to 1"),
        ({"flights": {"elections": 1.5}}, "whole number"),
        ({"flights": {"elections": True}}, "whole number"),
        ({"tls": {"cert_file": 5}}, "path of a file"),
        ({"tls": {"cert_file": "/none"}}, "readable file"),
        ({"pseudonym": "a b"}, "one word"),
        ({"cache": {"refresh_ahead": -0.1}}, "greater than or equal to 0"),
        ({"cache": {"refresh_ahead": float("inf")}}, "finite"),
        ({"cache": {"refresh_ahead": True}}, "must be a number"),
        ({"cache": {"time_sensitive": {"action": "forget"}}}, "'shorten', 'bypass' or 'ignore'"),
        ({"cache": {"time_sensitive": {"factor": 0}}}, "greater than 0"),
        ({"cache": {"time_sensitive": {"factor": 1.1}}}, "less than or equal to 1"),
        ({"cache": {"time_sensitive": {"words": [" * "]}}}, "more than blanks and stars"),
        ({"cache": {"confidence": {"pointer": "confidence"}}}, 'begin with "/"'),
        ({"cache": {"confidence": {"pointer": "/a~2b"}}}, "~0"),
        ({"cache": {"confidence": {"above": 1}}}, "less than 1"),
        ({"cache": {"confidence": {"factor": 0.9}}}, "greater than or equal to 1"),
        ({"cache": {"rules": [{"time_sensitive": True}]}}, "'shorten', 'bypass' or 'ignore'"),
        ({"cache": {"rules": [{"dialect": ""}]}}, "at least 1 character"),
    ],
)
def test_a_value_out_of_its_bounds_is_refused(tree: dict[str, Any], words: str) -> None:
    assert words in complaint(**tree)


def test_settings_can_be_made_of_settings(secret_file: Path) -> None:
    settings = made(admin={"token_file": secret_file}, listen="h:1", tls={"cert_file": secret_file})
    assert Settings.model_validate(dict(settings)) == settings
    assert made(listen=settings.listen, admin=dict(settings.admin)) != made()


def test_a_scope_secret_in_a_file_must_be_long_enough_too(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("short")
    assert "at least 16" in complaint(cache={"scope": {"secret_file": file}})


def test_backends_are_told_apart_by_prefix_and_by_name() -> None:
    a = {"url": "http://h:1/v1", "prefix": "/a"}
    assert "prefix of another" in complaint(upstreams=[a, {"url": "http://i", "prefix": "/a/"}])
    assert "name of another" in complaint(upstreams=[a, {**a, "prefix": "/b"}])
    made(upstreams=[a, {**a, "prefix": "/b", "id": "b"}])


@pytest.mark.parametrize(
    ("url", "name"),
    [("http://h:1/v1", "h-1-v1"), ("https://[::1]:8000", "1--8000"), ("http://h/", "h")],
)
def test_a_backend_without_an_id_is_named_by_its_url(url: str, name: str) -> None:
    assert made(upstreams=[{"url": url}]).upstreams[0].name == name


def test_backends_whose_long_urls_begin_alike_have_different_names() -> None:
    host = "inference-gateway.production.eu-central-1.internal.example:8443"
    urls = [f"http://{host}/models/{model}" for model in ("llama", "mistral")]
    names = {made(upstreams=[{"url": url}]).upstreams[0].name for url in urls}
    assert len(names) == 2
    assert all(len(name) == 64 for name in names)


def test_header_names_compare_without_case() -> None:
    cache = made(cache={"keyed_headers": ["X-User"], "scope": {"by": "header", "header": "X-T"}})
    assert cache.cache.keyed_headers == ("x-user",)
    assert cache.cache.scope.header == "x-t"
