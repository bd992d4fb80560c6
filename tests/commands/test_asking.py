from __future__ import annotations

import socket
from pathlib import Path

import pytest
from support.told_admin import Listener, Run

from proxy.commands.asking import Event, Operator, Unreachable
from proxy.commands.refused import Refused


def test_the_token_comes_from_the_environment_or_a_file_and_goes_into_the_header(
    run: Run, admin: Listener, tmp_path: Path
) -> None:
    admin.say("/purge", {"complete": True})
    file = tmp_path / "token"
    file.write_text("fr0m-a-file\n")

    for environ in (
        {"SIDECACHE_ADMIN_TOKEN": "t0ken"},
        {"SIDECACHE_ADMIN_TOKEN_FILE": str(file)},
        {},
    ):
        assert run("purge", "--tag", "x", SIDECACHE_ADMIN_URL=admin.url, **environ).exit_code == 0

    sent = [asked.headers.get("Authorization") for asked in admin.asked]
    assert sent == ["Bearer t0ken", "Bearer fr0m-a-file", None]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_as_the_token_would_go_with_it(
    run: Run, admin: Listener, status: int
) -> None:
    admin.elsewhere = f"{admin.url}/elsewhere"
    admin.say("/stats", (status, {}))
    admin.say("/elsewhere", {"requests": {"total": 1}})
    result = run("stats", SIDECACHE_ADMIN_URL=admin.url, SIDECACHE_ADMIN_TOKEN="t0ken")
    assert result.exit_code == 2
    assert f"says {status}" in result.output
    assert [asked.path for asked in admin.asked] == ["/stats"]


@pytest.mark.parametrize("name", ["TOKEN", "URL"])
def test_what_cannot_be_sent_is_refused_without_being_shown(run: Run, name: str) -> None:
    result = run("stats", **{f"SIDECACHE_ADMIN_{name}": "päss wörd"})
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert "wörd" not in result.output or name == "URL"


def test_a_token_file_that_is_not_there_is_told(run: Run, tmp_path: Path) -> None:
    result = run("stats", "--admin-token-file", tmp_path / "none")
    assert result.exit_code == 2
    assert "none: it cannot be read" in result.stderr


def test_nobody_there_is_told_with_what_to_do(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    result = run("stats", "--admin-url", url)
    assert result.exit_code == 2
    assert f"nobody answers at {url} (Connection refused)" in result.stderr
    assert "--admin-url" in result.stderr


@pytest.mark.parametrize(
    ("status", "said", "told"),
    [
        (401, {"error": "no"}, "SIDECACHE_ADMIN_TOKEN"),
        (404, {"error": "not found"}, "is that its admin.listen?"),
        (404, {"error": "there is no such tier"}, "says 404: there is no such tier"),
        (409, {"error": "there is another"}, "says 409: there is another"),
        (500, {}, "says 500: Internal Server Error"),
    ],
)
def test_an_error_is_told_in_a_sentence(
    run: Run, admin: Listener, status: int, said: dict[str, str], told: str
) -> None:
    admin.say("/stats", (status, said))
    result = run("stats", "--admin-url", admin.url)
    assert result.exit_code == 2
    assert told in result.stderr


def test_a_token_that_is_wrong_is_told_from_one_that_is_missing(run: Run, admin: Listener) -> None:
    admin.say("/stats", (401, {"error": "no"}), (401, {"error": "no"}))
    missing = run("stats", "--admin-url", admin.url)
    assert "give it by SIDECACHE_ADMIN_TOKEN" in missing.stderr
    wrong = run("stats", "--admin-url", admin.url, SIDECACHE_ADMIN_TOKEN="another")
    assert "another admin.token than the one it was given" in wrong.stderr


def test_what_is_no_sidecache_is_told(run: Run, admin: Listener) -> None:
    admin.say("/stats", b"<html>")
    result = run("stats", "--admin-url", admin.url)
    assert result.exit_code == 2
    assert "is no admin listener of sidecache" in result.stderr


def test_events_are_read_as_the_standard_has_them(admin: Listener) -> None:
    admin.say(
        "/live",
        b': a comment\n\nevent: request\nid: 7\ndata: {"seq": 7}\n\ndata: {"a":\ndata: 1}\r\n\r\n'
        b'event: request\n\ndata: {"seq": 9}',
    )
    events = list(Operator(admin.url).events("/live", last=3, none=None))
    assert events == [Event("request", {"seq": 7}), Event("message", {"a": 1})]
    assert admin.asked[0].path == "/live?last=3"


def test_an_event_without_end_is_given_up(admin: Listener) -> None:
    admin.say("/live", b"data: " + b"x" * 2**21)
    with pytest.raises(Unreachable, match="too long"):
        list(Operator(admin.url).events("/live"))


def test_a_list_is_told_as_its_items(admin: Listener) -> None:
    admin.say("/list", b"[1, 2]")
    assert Operator(admin.url).get("/list") == {"items": [1, 2]}


def test_what_stops_coming_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(Refused, match="timed out"):
            Operator(url, wait_s=0.05).get("/stats")
