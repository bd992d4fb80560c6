"""What clients may send that is odd or malformed, all of it full of secrets."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import orjson

from support.canaries import (
    AUTHORIZATION,
    KINDS,
    PROMPT,
    QUERY,
    SECRETS,
    TENANT,
    TOOL,
    USERINFO,
)  # fmt: skip


class Ask(NamedTuple):
    """One request, by a name that says what is special about it."""

    name: str
    path: str
    body: bytes | None  # None: a GET
    headers: dict[str, Any]


_CHAT: Final = KINDS[0].path
_SAID: Final = PROMPT.encode()

MALFORMED: Final = {
    "no JSON": (_CHAT, b'{"model": "m", "messages": ' + _SAID),
    "a key given twice": (_CHAT, b'{"model":"m","model":"%b","messages":[]}' % _SAID),
    "no UTF-8": (_CHAT, b'{"model":"\xff%b"}' % _SAID),
    "too deep": (_CHAT, b"[" * 200 + _SAID),
    "another shape": (_CHAT, orjson.dumps({"model": [PROMPT], "messages": {"a": TOOL}})),
    "a number too large": (_CHAT, b'{"model":"%b","seed":1%b}' % (_SAID, b"0" * 40)),
    "too long": (_CHAT, orjson.dumps({"model": "m", "messages": [PROMPT * 9000]})),
    "far too long": (_CHAT, _SAID * 60_000),
    "several inputs": ("/v1/embeddings", orjson.dumps({"model": "m", "input": [PROMPT, TOOL]})),
    "no backend for it": ("/nowhere", _SAID),
    "a backend that is away": (f"/away{_CHAT}", KINDS[0].body("away")),
    "a backend that is away, again": ("/away/v1/other", KINDS[0].body("away")),
}

ODD_HEADERS: Final = {
    "not from the backend": {"Cache-Control": "only-if-cached"},
    "not from the cache": {"Cache-Control": "no-cache"},
    "not to be kept": {"Cache-Control": "no-store"},
    "a loop": {"Via": "1.1 sidecache"},
    "a place of its own": {"X-Cache-Namespace": PROMPT, "X-Cache-Tags": "one,two"},
    "controls that make no sense": {"X-Cache-TTL": PROMPT, "X-Cache-Control": TOOL},
    "called wrong": {"X-Cache-Feedback": "wrong"},
    "an expectation": {"Expect": PROMPT},
    "a range": {"Range": f"bytes={PROMPT}"},
    "a referrer": {"Referer": f"http://user:{USERINFO}@host/?key={QUERY}"},
    "a trace that makes no sense": {"traceparent": PROMPT, "tracestate": TOOL, "baggage": TENANT},
    "one who names others": {"X-Forwarded-For": PROMPT, "Forwarded": f"for={TENANT}"},
}


def _raw(line: str, *fields: str, body: str = "") -> str:
    secret = [f"{name}: {value}" for name, value in SECRETS.items()]
    return "\r\n".join([line, "Host: proxy", *secret, *fields, "", body])


RAW: Final = {
    "a target with a password": _raw(f"GET http://u:{USERINFO}@proxy/r/a HTTP/1.1"),
    "another scheme": _raw(f"GET ftp://u:{USERINFO}@proxy/ HTTP/1.1"),
    "no version": _raw(f"GET /?key={QUERY}"),
    "a target too long": _raw(f"GET /{'x' * 20_000}?key={QUERY} HTTP/1.1"),
    "a header too long": _raw("GET /r/a HTTP/1.1", f"X-Long: {PROMPT * 2000}"),
    "too many headers": _raw("GET /r/a HTTP/1.1", *[f"X-A: {PROMPT}"] * 200),
    "a header without a colon": _raw("GET /r/a HTTP/1.1", PROMPT),
    "a length that is none": _raw("POST /v1/other HTTP/1.1", f"Content-Length: {PROMPT}"),
    "two lengths": _raw(
        "POST /v1/other HTTP/1.1", "Content-Length: 3", "Content-Length: 4", body=PROMPT
    ),
    "a chunk that is none": _raw(
        "POST /v1/other HTTP/1.1", "Transfer-Encoding: chunked", body=f"{PROMPT}\r\n"
    ),
    "a coding nobody knows": _raw("POST /v1/other HTTP/1.1", f"Transfer-Encoding: {PROMPT}"),
    "a body that ends early": _raw("POST /v1/other HTTP/1.1", "Content-Length: 99", body=PROMPT),
    "an upgrade": _raw(
        f"GET /v1/other?key={QUERY} HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket"
    ),
    "no HTTP at all": f"\x16\x03\x01{PROMPT}{AUTHORIZATION}\r\n\r\n",
    "CONNECT": _raw(f"CONNECT u:{USERINFO}@host:443 HTTP/1.1"),
    "TRACE": _raw(f"TRACE /r/a?key={QUERY} HTTP/1.1"),
    "OPTIONS": _raw("OPTIONS * HTTP/1.1"),
}
