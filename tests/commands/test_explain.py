from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.told_admin import Listener, Run

from proxy.calling import Question
from proxy.commands.curl import parsed

JSON = ("Content-Type", "application/json")
EXPLANATION: dict[str, Any] = {
    "generation": 3, "upstream": "gpu", "dialect": "openai_chat", "outcome": "miss",
    "reason": "unseen", "says": "It was never asked.", "advice": "Ask it once.", "key": "ab" * 32,
    "scope": "0157fb", "scope_by": "credential", "namespace": "", "model": "demo",
    "keyed": {"headers": ["accept-language"], "body": ["/messages", "/model"],
              "left_out_headers": ["user-agent"], "left_out_fields": ["stream"]},
    "tiers": [{"tier": "l1_memory", "answer": "absent", "took_s": 1e-5, "entry": None},
              {"tier": "l2_disk", "answer": "stale", "took_s": 1e-3,
               "entry": {"age_s": 100.0, "ttl_s": -40.0, "size_bytes": 2048}}],
    "terms": {"ttl_s": 3600.0, "max_ttl_s": 86400.0, "rules": [0, 2]},
    "ttl": {"would_be_s": 1800.0, "because": "it is about now"},
    "semantic": {"asked": True, "doubt": "negation", "threshold": 0.92, "neighbours": [
        {"key": "cd" * 32, "score": 0.9512, "verdict": "refused", "doubt": "negation",
         "would_serve": False, "question": None}]},
    "flight": {"in_progress": True}, "steering": ["no-store"],
}  # fmt: skip


def told(admin: Listener, **more: Any) -> str:
    admin.say("/explain", {"request": EXPLANATION, "other": None, "differences": []} | more)
    return admin.url


def test_an_explanation_is_shown_whole(run: Run, admin: Listener) -> None:
    url = told(admin)
    result = run("explain", "--body", '{"model": "demo", "messages": []}', "--admin-url", url)
    assert result.exit_code == 0, result.output
    for shown in (
        "miss: unseen", "It was never asked.", "Ask it once.", "0157fb (by credential)", "ab" * 32,
        "accept-language", "user-agent", "/messages, /model", "no-store", "30 min: it is about",
        "ttl_s 1 h", "0, 2", "somebody asks this now", "absent", "1 min 40 s", "-40 s",
        "meaning was asked, threshold 0.9200: negation", "0.9512", "refused", "cd" * 32,
    ):  # fmt: skip
        assert shown in result.output, shown
    (asked,) = admin.asked
    assert asked.said == {
        "request": {"method": "POST", "path": "/v1/chat/completions", "headers": dict([JSON]),
                    "body": {"model": "demo", "messages": []}},
        "other": None, "neighbours": 5, "threshold": None,
    }  # fmt: skip


def test_programs_get_it_whole(run: Run, admin: Listener) -> None:
    result = run("explain", "--json", "--path", "/v1/models", "--admin-url", told(admin))
    assert json.loads(result.stdout)["request"] == EXPLANATION
    assert admin.asked[0].said["request"] == {
        "method": "GET", "path": "/v1/models", "headers": {}, "body": None,
    }  # fmt: skip


def test_what_makes_two_requests_differ_is_shown(run: Run, admin: Listener, tmp_path: Path) -> None:
    other = EXPLANATION | {"key": "ef" * 32, "outcome": "hit", "reason": "fresh"}
    difference = {"where": "body", "name": "/temperature", "one": "0", "other": "0.7",
                  "matters": True, "says": "another temperature"}  # fmt: skip
    url = told(admin, other=other, differences=[difference])
    one, two = tmp_path / "one.json", tmp_path / "two.txt"
    one.write_text('{\n "path": "/v1/chat/completions",\n "body": {"temperature": 0}\n}')
    two.write_text("curl http://x/v1/chat/completions \\\n -H 'Authorization: B' -d '{\"a\": 1}'")

    result = run("explain", one, "--against", two, "-H", "Authorization: A", "--admin-url", url)
    assert "another question: hit, fresh" in result.output
    assert "/temperature" in result.output
    said = admin.asked[0].said
    assert said["request"]["headers"]["Authorization"] == "A"
    assert said["other"]["headers"]["Authorization"] == "B"
    assert said["other"]["body"] == {"a": 1}

    result = run("explain", one, "--against", one, "--admin-url", told(admin, other=EXPLANATION))
    assert "the same question: miss, unseen" in result.output


def test_standard_input_and_options_that_say_more(run: Run, admin: Listener) -> None:
    run(
        "explain", "-", "--path", "/v1/embeddings", "--method", "put", "--neighbours", 0,
        "--threshold", 0.5, "--admin-url", told(admin), stdin='{"model": "m", "input": "x"}',
    )  # fmt: skip
    said = admin.asked[0].said
    assert (said["neighbours"], said["threshold"]) == (0, 0.5)
    assert (said["request"]["method"], said["request"]["path"]) == ("PUT", "/v1/embeddings")


def test_a_body_that_is_no_object_is_told_as_text(run: Run, admin: Listener) -> None:
    run("explain", "--curl", "curl http://x/a -d 'a=1'", "--admin-url", told(admin))
    assert admin.asked[0].said["request"]["body"] == "a=1"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "explain what?"),
        (["--body", "{}", "--curl", "curl x"], "once"),
        (["--body", "{"], "--body: it is no JSON"),
        (["--curl", "curl -F a=b http://x"], "--curl: -F cannot be read here"),
        (["nowhere.json"], "nowhere.json: No such file"),
        (["--path", "no slash"], "must begin with one slash"),
        (["--path", "/a", "-H", "nonsense"], "--header: give a header as"),
        (["--path", "/a", "-H", "a b: c"], "no header that can be sent"),
        (["--path", "/a", "--header-file", "nowhere"], "cannot be read as text"),
        (["--path", "/a", "--api-key-env", "NO_SUCH_KEY"], "nothing in that variable"),
    ],
)
def test_mistakes_are_told(run: Run, admin: Listener, words: list[str], says: str) -> None:
    result = run("explain", *words, "--admin-url", admin.url)
    assert result.exit_code == 2
    assert says in result.stderr
    assert admin.asked == []


def test_credentials_come_from_a_file_or_the_environment(
    run: Run, admin: Listener, tmp_path: Path
) -> None:
    file = tmp_path / "headers"
    file.write_text("# who asks\nX-Team: blue\n\n")
    run(
        *("explain", "--path", "/a", "--header-file", file, "--api-key-env", "MY_KEY"),
        *("--admin-url", told(admin)),
        MY_KEY="sk-1",
    )
    assert admin.asked[0].said["request"]["headers"] == {
        "X-Team": "blue", "Authorization": "Bearer sk-1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("call", "meant"),
    [
        ("curl http://h/a", Question("GET", "/a", (), b"")),
        ("curl h:8080", Question("GET", "/", (), b"")),
        ("curl '/a?b=c'", Question("GET", "/a?b=c", (), b"")),
        ("curl -sSNL --compressed -o out -m 3 --url https://h/a", Question("GET", "/a", (), b"")),
        ("curl -XDELETE http://h/a", Question("DELETE", "/a", (), b"")),
        ("curl -sXPUT http://h/a", Question("PUT", "/a", (), b"")),
        ("curl -I http://h/a", Question("HEAD", "/a", (), b"")),
        ("curl -G http://h/a -d x=1 -d y=2", Question("GET", "/a?x=1&y=2", (), b"")),
        (
            "curl http://h/a --json '{}'",
            Question("POST", "/a", (JSON, ("Accept", "application/json")), b"{}"),
        ),
        (
            "curl http://h/a \\\n  -H 'Content-Type: application/json' \\\n --data-raw '@{}'",
            Question("POST", "/a", (JSON,), b"@{}"),
        ),
        (
            "curl http://h/a -u me:pw -A agent -b c=1 -e ref -H Empty",
            Question(
                "GET", "/a",
                (("Authorization", "Basic bWU6cHc="), ("User-Agent", "agent"), ("Cookie", "c=1"),
                 ("Referer", "ref")),
                b"",
            ),
        ),
    ],
)  # fmt: skip
def test_a_call_of_curl_is_read(call: str, meant: Question) -> None:
    assert parsed(call) == meant


def test_curl_reads_files_as_curl_does(tmp_path: Path) -> None:
    file = tmp_path / "body"
    file.write_bytes(b"a\nb\n")
    assert parsed(f"curl http://h/ -d @{file}").body == b"ab"
    assert parsed(f"curl http://h/ --data-binary @{file}").body == b"a\nb\n"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("curl -s", "no URL"),
        ("curl http://h/ -d $'a'", r"\$'...' is for the shell"),
        ("curl http://h/ -d @nowhere", "No such file"),
        ("curl http://h/ -d 'a", "No closing quotation"),
    ],
)
def test_what_cannot_be_told_from_a_call_is_refused(call: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parsed(call)
