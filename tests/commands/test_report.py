"""``sidecache report``, against a listener that tells what a busy proxy would."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result
from support.reported import Json, meaning, saved

from proxy.cli import cli

TOKEN = "a-token-of-the-operator"
Run = Callable[..., Result]


class Told(ThreadingHTTPServer):
    """Tells what was saved of a proxy, to whoever has the token."""

    def __init__(self, document: Json) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.answers: dict[str, Json] = {
            "/stats": document["stats"], "/stats/history": document["history"],
            "/tiers": document["tiers"], "/upstreams": document["upstreams"],
            "/config": document["config"], "/semantic": document["semantic"],
        }  # fmt: skip
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answer(BaseHTTPRequestHandler):
    server: Told

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        known = self.headers["Authorization"] == f"Bearer {TOKEN}"
        found = self.server.answers.get(urlsplit(self.path).path) if known else None
        body = json.dumps(found or {"error": "no"}).encode()
        self.send_response(200 if found else 404 if known else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called there
        pass


def small() -> Json:
    """With two charts only, as drawing takes its time."""
    return saved(semantic=meaning(), history={"points": []}, stats={"models": []})


@pytest.fixture
def admin() -> Iterator[Told]:
    with Told(small()) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def run(*words: object, admin: Told | None = None) -> Result:
        url = admin.url if admin else "http://127.0.0.1:9"
        environ = {"SIDECACHE_ADMIN_URL": url, "SIDECACHE_ADMIN_TOKEN": TOKEN}
        return CliRunner().invoke(cli, ["report", *map(str, words)], env=environ)

    return run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "saved.json"
    file.write_text(json.dumps(small()))
    return file


def test_it_asks_a_running_proxy_and_writes_one_page(run: Run, admin: Told, tmp_path: Path) -> None:
    result = run("--span", "6h", admin=admin)

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.endswith("wrote report.html\n")
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]
    assert "/stats/history?span=6h" in admin.asked


def test_what_was_saved_makes_the_same_report_elsewhere(
    run: Run, admin: Told, tmp_path: Path
) -> None:
    assert run("--save", "saved.json", admin=admin).stdout == "saved saved.json\n"
    told = json.loads((tmp_path / "saved.json").read_text())
    assert told["stats"] == small()["stats"]
    assert TOKEN not in (tmp_path / "saved.json").read_text()

    for name in ("one.html", "two.html"):
        assert run("--from", "saved.json", "--out", name).exit_code == 0
    one, two = ((tmp_path / name).read_text() for name in ("one.html", "two.html"))
    assert one == two


def test_the_charts_come_as_pictures_too(run: Run, file: Path, tmp_path: Path) -> None:
    result = run("--from", file, "--png", tmp_path / "new" / "charts")

    assert "and 2 charts in" in result.stdout
    drawn = sorted((tmp_path / "new" / "charts").iterdir())
    assert [each.suffix for each in drawn] == [".png"] * 2
    assert all(each.read_bytes().startswith(b"\x89PNG") for each in drawn)


def test_programs_are_told_what_was_found(run: Run, file: Path) -> None:
    result = run("--from", file, "--png", "charts", "--json")
    told = json.loads(result.stdout)

    assert told["report"] == "report.html"
    assert len(told["charts"]) == 2
    (found,) = told["findings"]
    assert found["title"] == "The backend is the bottleneck"
    assert set(found) == {"weight", "title", "why", "advice", "settings"}


def test_programs_are_told_where_it_was_saved(run: Run, admin: Told) -> None:
    assert json.loads(run("--save", "a.json", "--json", admin=admin).stdout) == {"saved": "a.json"}


def test_a_healthy_proxy_has_nothing_to_change(run: Run, file: Path) -> None:
    document = json.loads(file.read_text())
    document["stats"]["stages"] = []
    file.write_text(json.dumps(document))

    assert run("--from", file).stdout.startswith("nothing that a setting would change\n")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read"),
        ("{", "is no JSON"),
        ("[]", "not what --save wrote"),
        ("{}", "not written by `sidecache report --save`"),
        ('{"sidecache_report": 2}', "another version"),
    ],
)
def test_a_file_that_is_no_such_thing_is_refused(
    run: Run, tmp_path: Path, content: str | None, says: str
) -> None:
    if content is not None:
        (tmp_path / "bad.json").write_text(content)
    result = run("--from", "bad.json")

    assert result.exit_code == 2
    assert says in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "report.html").exists()


def test_a_file_that_is_too_long_is_not_read(run: Run, tmp_path: Path) -> None:
    with (tmp_path / "long.json").open("wb") as file:
        file.truncate(65 * 2**20)

    assert "too long" in run("--from", "long.json").stderr


def test_a_proxy_that_cannot_be_asked_is_told(run: Run) -> None:
    result = run()

    assert result.exit_code == 2
    assert "nobody answers at http://127.0.0.1:9" in result.stderr


def test_a_listener_that_tells_other_things_is_told(run: Run, admin: Told) -> None:
    admin.answers["/stats"] = {"uptime_s": 1}
    result = run(admin=admin)

    assert result.exit_code == 2
    assert "stats.requests" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--save", "a", "--from", "b"),
        ("--from", "saved.json", "--out", "no/such/folder/report.html"),
        ("--from", "saved.json", "--out", "."),
        ("--from", "saved.json", "--png", "saved.json"),
    ],
)
def test_what_cannot_be_done_is_refused(
    run: Run, file: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    before = set(tmp_path.iterdir())
    result = run(*words)

    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert set(tmp_path.iterdir()) - before <= {tmp_path / "report.html"}


def test_a_missing_package_is_told_before_anything_is_written(
    run: Run, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = run("--from", file)

    assert result.exit_code == 2
    assert "sidecache[report]" in result.stderr
    assert not (tmp_path / "report.html").exists()
