"""``serve`` with the demo's backend, as a process of its own."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from proxy.config.faults import Given
from proxy.config.load import Origin
from proxy.demo.serving import serve

flags = (
    Given(("listen",), "127.0.0.1:0", "test"),
    Given(("upstreams",), [{"url": "http://127.0.0.1:9"}], "test"),
    Given(("admin", "enabled"), False, "test"),
)
sys.exit(serve(Origin(flags=flags)))
"""


def test_the_printed_line_is_answered_by_the_demo_and_then_by_the_cache() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as serving:
        try:
            assert serving.stdout is not None
            text = ""
            while "-d '" not in text:
                line = serving.stdout.readline()
                assert line, serving.communicate()[1]
                text += line
            words = shlex.split(text[text.index("curl") :].replace("\\\n", " "))
            first, second = ask(words), ask(words)
        finally:
            serving.send_signal(signal.SIGTERM)
            _, log = serving.communicate(timeout=20)

    assert serving.returncode == 0
    assert [first[0], second[0]] == ["MISS", "HIT"]
    assert first[1] == second[1]
    assert json.loads(first[1])["id"] == "chatcmpl-demo-1"
    assert "demo" in log.splitlines()[0]
    assert "Traceback" not in log


def ask(words: list[str]) -> tuple[str, bytes]:
    """What the curl line ``words`` would: its X-Cache and the body."""
    header, value = words[words.index("-H") + 1].split(": ")
    request = urllib.request.Request(  # a line of curl, whose URL is http://127.0.0.1
        words[2], words[words.index("-d") + 1].encode(), {header: value}
    )
    with urllib.request.urlopen(request, timeout=20) as response:
        return response.headers["X-Cache"], response.read()
