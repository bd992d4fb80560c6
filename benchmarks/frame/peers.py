"""What the proxy is measured beside, each on the core of the server under test.

A peer that is not installed is a reason in words, told under the table, and no error.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Final

from benchmarks.frame.drive import Server
from benchmarks.servers import ANSWER
from benchmarks.serving import free_port, running, sidecache, started, until_listens

PRODUCT: Final = "Sidecache"
HIT: Final = ("X-Cache", "HIT")
MISS: Final = ("X-Cache", "MISS")
NO_LANE: Final = {"SIDECACHE_L1_MEMORY__EXPRESS_SHARE": "0"}


class Missing(Exception):
    """A peer cannot be had here; why."""


Start = Callable[[], AbstractContextManager[Server]]


def product(
    upstream: str, *flags: str, name: str = PRODUCT, env: Mapping[str, str] | None = None
) -> Start:
    """The proxy itself, as it is set by default but for ``flags`` and ``env``."""

    @contextmanager
    def start() -> Iterator[Server]:
        with sidecache(upstream, *flags, env=env) as target:
            url = target.url.removesuffix("/v1/chat/completions")
            yield Server(name, url, target.process, HIT, ANSWER)

    return start


def python(name: str, kind: str, *words: str, core: int = 0) -> Start:
    """One of ``benchmarks.servers``."""

    @contextmanager
    def start() -> Iterator[Server]:
        port = free_port()
        program = ["-m", "benchmarks.servers", kind, str(port), *words]
        with running(program, core, "") as process:
            yield Server(name, f"http://127.0.0.1:{port}", process.pid, body=ANSWER)

    return start


_NGINX: Final = """
worker_processes 1; daemon off; master_process off; pid nginx.pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_buffer_size 64k; keepalive_requests 1000000000;
  client_body_temp_path body; proxy_temp_path proxied;
  fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  proxy_cache_path kept levels=1:2 keys_zone=kept:64m;
  upstream backend {{ server {upstream}; keepalive 128; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{
      proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection "";
      {more}
    }}
  }}
}}
"""
_CACHED: Final = """proxy_cache kept; proxy_cache_methods POST; proxy_cache_valid 200 1h;
      proxy_cache_key "$request_uri|$request_body";
      add_header X-Cache $upstream_cache_status;"""


def nginx(upstream: str, *, cached: bool = True) -> Start:
    """nginx; with ``cached``, answers are kept by the path and the bytes of the body."""

    @contextmanager
    def start() -> Iterator[Server]:
        program = _program("nginx")
        name = "nginx proxy_cache" if cached else "nginx proxy_pass"
        more = _CACHED if cached else "proxy_buffering off;"
        with tempfile.TemporaryDirectory() as folder:
            port = free_port()
            file = Path(folder) / "nginx.conf"
            text = _NGINX.format(port=port, more=more, upstream=upstream.removeprefix("http://"))
            file.write_text(text)
            words = [program, "-p", folder, "-c", str(file), "-e", "stderr"]
            with _listening(name, words, port) as process:
                hit = HIT if cached else ("", "")
                yield Server(name, f"http://127.0.0.1:{port}", process.pid, hit, ANSWER)

    return start


_VARNISH: Final = """vcl 4.1;
import std; import bodyaccess;
backend default {{ .host = "{host}"; .port = "{port}"; }}
sub vcl_recv {{
  unset req.http.X-Body;
  if (req.method == "POST") {{ std.cache_req_body(64KB); return (hash); }}
}}
sub vcl_hash {{ bodyaccess.hash_req_body(); }}
sub vcl_backend_fetch {{ set bereq.method = "POST"; }}
sub vcl_backend_response {{ set beresp.ttl = 1h; }}
sub vcl_deliver {{
  if (obj.hits > 0) {{ set resp.http.X-Cache = "HIT"; }} else {{ set resp.http.X-Cache = "MISS"; }}
}}
"""


def varnish(upstream: str) -> Start:
    """Varnish, with answers kept by the path and the bytes of the body (vmod bodyaccess)."""

    @contextmanager
    def start() -> Iterator[Server]:
        program, name = _program("varnishd"), "varnish, vmod bodyaccess"
        host, _, back = upstream.removeprefix("http://").partition(":")
        with tempfile.TemporaryDirectory() as folder:
            port = free_port()
            Path(folder).chmod(0o755)  # started by root, its workers are somebody else
            file = Path(folder) / "bench.vcl"
            file.write_text(_VARNISH.format(host=host, port=back))
            words = [program, "-F", "-a", f"127.0.0.1:{port}", "-f", str(file)]
            words += ["-n", str(Path(folder) / "work"), "-s", "malloc,256m"]
            with _listening(name, words, port, "package varnish-modules is needed") as process:
                yield Server(name, f"http://127.0.0.1:{port}", process.pid, HIT, ANSWER)

    return start


_LITELLM: Final = """
model_list:
  - model_name: bench-model
    litellm_params: {{model: openai/bench-model, api_base: "{upstream}/v1", api_key: sk-none}}
litellm_settings: {{cache: true, cache_params: {{type: local}}, telemetry: false}}
# It listens to this machine alone, for a minute; it would not start without a key otherwise.
general_settings: {{dangerously_permit_weak_or_unset_master_key: true}}
"""


def litellm(upstream: str, interpreter: str) -> Start:
    """LiteLLM's proxy with answers kept in memory, from an environment of its own."""

    @contextmanager
    def start() -> Iterator[Server]:
        if not interpreter:
            raise Missing("LiteLLM was not asked for: --litellm names its interpreter")
        with tempfile.TemporaryDirectory() as folder:
            port = free_port()
            file = Path(folder) / "litellm.yaml"
            file.write_text(_LITELLM.format(upstream=upstream))
            words = [interpreter, "-m", "litellm.proxy.proxy_cli", "--config", str(file)]
            words += ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
            name = "LiteLLM, in memory"
            with _listening(name, words, port, within_s=120) as process:
                hit = ("x-litellm-cache-key", "")
                yield Server(name, f"http://127.0.0.1:{port}", process.pid, hit)

    return start


def all_of(stack: ExitStack, starts: Sequence[Start]) -> tuple[list[Server], list[str]]:
    """Those that can be had, and why others cannot."""
    there, missing = list[Server](), list[str]()
    for start in starts:
        try:
            there.append(stack.enter_context(start()))
        except Missing as reason:
            missing.append(str(reason))
    return there, missing


def _program(name: str) -> str:
    # Servers are not on everybody's path.
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise Missing(f"{name} is not installed")
    return found


@contextmanager
def _listening(
    name: str, words: Sequence[str], port: int, hint: str = "", within_s: float = 60.0
) -> Iterator[subprocess.Popen[str]]:
    with started(words, 0) as process:
        try:
            until_listens(port, process, within_s)
        except RuntimeError:
            raise Missing(f"{name} did not start{f' ({hint})' if hint else ''}") from None
        yield process
