"""What cannot work is refused when it is said, with every fault named and no secret."""

from __future__ import annotations

import pytest
from support.tls import AUTHORITY, CLIENT_CERTIFICATE

from proxy.model.errors import ConfigError
from proxy.upstream import HttpUpstream, UpstreamSpec


@pytest.mark.parametrize(
    ("url", "origin", "base_path"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000", ""),
        ("https://api.test/", "https://api.test", ""),
        ("https://api.test:8443/v1/", "https://api.test:8443", "/v1"),
        ("http://[::1]:11434/a//b%2F", "http://[::1]:11434", "/a//b%2F"),
    ],
)
def test_a_url_is_an_origin_and_a_base_path(url, origin, base_path):
    spec = UpstreamSpec(url=url)
    assert (str(spec.origin).rstrip("/"), spec.base_path) == (origin, base_path)


@pytest.mark.parametrize(
    "said",
    [
        {"url": ""},
        {"url": "127.0.0.1:8000"},
        {"url": "/v1"},
        {"url": "ftp://api.test"},
        {"url": "http://"},
        {"url": "http://api.test:0"},
        {"url": "http://api.test:99999"},
        {"url": "http://api.test?key=hush"},
        {"url": "http://api.test#hush"},
        {"url": "http://user:hush@api.test"},
        {"url": "http://a pi.test"},
        {"url": "http://bücher.test"},
        {"url": "http://api.test/\r\n"},
        {"id": ""},
        {"id": "a b"},
        {"prefix": "v1"},
        {"prefix": "/a b"},
        {"prefix": "//a"},
        {"prefix": "/a?b"},
        {"set_headers": (("A b", "hush"),)},
        {"set_headers": (("A", "hush\r\nB: c"),)},
        {"max_connections": 0},
        {"first_byte_timeout_s": 0},
        {"idle_timeout_s": -1},
        {"connect_timeout_s": float("nan")},
        {"client_key_file": "key.pem"},
    ],
)
def test_what_cannot_work_is_refused_without_quoting_secrets(said):
    with pytest.raises(ConfigError) as caught:
        UpstreamSpec(**{"url": "http://api.test", **said})
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_every_fault_is_named_at_once():
    with pytest.raises(ConfigError) as caught:
        UpstreamSpec(url="ftp://u@api.test?q", prefix="x", keepalive_s=0)
    for word in ("http://", "user", "query", "prefix", "keepalive_s"):
        assert word in str(caught.value)


def test_values_that_may_be_secret_are_not_shown():
    assert "hush" not in repr(UpstreamSpec(url="http://a.test", set_headers=(("A", "hush"),)))


@pytest.mark.parametrize(
    "said",
    [
        {"ca_file": "/nowhere/ca.pem"},
        {"client_cert_file": "/nowhere/client.pem"},
        {"client_cert_file": CLIENT_CERTIFICATE, "client_key_file": AUTHORITY},
    ],
)
def test_files_that_cannot_be_used_are_noticed_at_the_start(said):
    with pytest.raises(ConfigError, match="TLS"):
        HttpUpstream(UpstreamSpec(url="https://api.test", **said))
