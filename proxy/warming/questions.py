"""A line of a file as a question: whole requests, lines of OpenAI's batches, bodies, bare texts.

{"path": "/v1/chat/completions", "headers": {...}, "body": {...}}
{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {...}}
{"model": "m", "messages": [...]}               a body; so with "prompt", or "input" and a path
{"question": "..."}   "..."   or just words     put into a body, which has to be chosen
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlsplit

import orjson

from proxy.calling import Question

MARK: Final = "{question}"  # where a template wants the words

_CHAT: Final = "/v1/chat/completions"
_JSON: Final = ("Content-Type", "application/json")
_WHOLE: Final = frozenset({"path", "method", "headers", "body"})
_BATCH: Final = frozenset({"custom_id", "method", "url", "body"})
_FRAMING: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "expect", "te", "upgrade"}
)
_METHODS: Final = frozenset({"GET", "HEAD", "POST"})
# What words are called in a body for a path that ends so. Others need a template.
_MEMBERS: Final = {
    "/chat/completions": "messages",
    "/api/chat": "messages",
    "/completions": "prompt",
    "/api/generate": "prompt",
    "/embeddings": "input",
    "/api/embed": "input",
    "/responses": "input",
}
_SAFE: Final = "/%:@!$&'()*+,;=~-._?"  # as RFC 3986 has them in a path and a query

Members = dict[str, object]


class Reader:
    """Reads lines.

    Args:
        model: that bare words are asked of.
        path: where bare words and bodies go; None: chat completions, or what the body looks like.
        template: a body that has ``{question}`` in one of its texts, for bare words.

    Raises:
        ValueError: bare words could not be told to anybody with these.
    """

    def __init__(
        self, model: str | None = None, path: str | None = None, template: Members | None = None
    ) -> None:
        if template is not None and MARK not in orjson.dumps(template).decode():
            raise ValueError(f"the template has no {MARK} in it, where the words shall stand")
        self._model = model
        self._path = None if path is None else raw_path(path)
        self._template = template

    def read(self, line: bytes) -> Question:
        """The question in ``line``. Raises ValueError, which says what is the matter with it."""
        text = line.strip()
        if text[:1] == b"{":
            return self._of_members(members(text))
        if text[:1] == b'"':
            try:
                words = orjson.loads(text)
            except ValueError:
                return self._bare(text)
            return self._about(str(words))
        return self._bare(text)

    def of_body(self, body: Members) -> Question:
        """``body`` as a request to where such bodies go. Raises ValueError."""
        return Question("POST", self._path or _path_for(body), (_JSON,), orjson.dumps(body))

    def _of_members(self, said: Members) -> Question:
        if "path" in said:
            _closed(said, _WHOLE)
            return request(said, str(said["path"]))
        if "url" in said:
            _closed(said, _BATCH)
            return request(said, path_of(str(said["url"])))
        if "question" in said:
            _closed(said, {"question"})
            return self._about(str(said["question"]))
        return self.of_body(said)

    def _bare(self, text: bytes) -> Question:
        try:
            return self._about(text.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise ValueError("it is not UTF-8") from error

    def _about(self, words: str) -> Question:
        path = self._path or _CHAT
        if self._template is not None:
            body = _filled(self._template, words)
        elif self._model is None:
            raise ValueError("bare words need --model, or --template")
        else:
            member = next((m for end, m in _MEMBERS.items() if path.endswith(end)), None)
            if member is None:
                raise ValueError(f"what does a body for {path} look like? Say so by --template")
            said = [{"role": "user", "content": words}] if member == "messages" else words
            body = {"model": self._model, member: said}
        return Question("POST", path, (_JSON,), orjson.dumps(body))


def members(text: bytes) -> Members:
    """The JSON object that ``text`` is. Raises ValueError."""
    try:
        said = orjson.loads(text)
    except ValueError as error:
        raise ValueError("it is no JSON") from error
    if not isinstance(said, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - a line's fault, like others
    return said


def request(said: Mapping[str, object], path: str) -> Question:
    """The request whose parts ``said`` has, at ``path``. Raises ValueError."""
    body = encoded(said.get("body"))
    method = str(said.get("method") or ("POST" if body else "GET")).upper()
    if method not in _METHODS:
        raise ValueError(f"{method} is nothing to be asked ahead")
    headers = _headers({} if said.get("headers") is None else said["headers"])
    if body and not any(name.lower() == "content-type" for name, _ in headers):
        headers = (*headers, _JSON)
    return Question(method, raw_path(path), headers, body)


def encoded(body: object) -> bytes:
    """A body as bytes: a text as it is, all else as JSON, and None as none."""
    if body is None:
        return b""
    return body.encode() if isinstance(body, str) else orjson.dumps(body)


def path_of(url: str) -> str:
    """The path and the query string of ``url``, which may be a path itself."""
    if url.startswith("/"):
        return url
    parts = urlsplit(url)
    if not parts.netloc:
        raise ValueError("its url is neither a path nor a URL")
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def raw_path(path: str) -> str:
    """``path`` as it can be sent. Raises ValueError if it is none."""
    if not path.startswith("/") or path.startswith("//") or "#" in path:
        raise ValueError("its path must begin with one slash, and have no #")
    return quote(path, safe=_SAFE)


def _headers(said: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(said, dict):
        raise ValueError("its headers must be an object")  # noqa: TRY004 - as above
    pairs = tuple((str(name), str(value)) for name, value in said.items())
    for name, value in pairs:
        if not name.isascii() or not name.isprintable() or ":" in name or not name.strip():
            raise ValueError("it has a header with a name that is none")
        if not value.replace("\t", "").isprintable():
            raise ValueError(f"its header {name} has a value that cannot be sent")
    return tuple(pair for pair in pairs if pair[0].lower() not in _FRAMING)


def _path_for(body: Mapping[str, object]) -> str:
    if "messages" in body:
        return _CHAT
    if "prompt" in body:
        return "/v1/completions"
    if "input" in body:
        raise ValueError("is it for embeddings or for responses? Say so by --path")
    raise ValueError(
        'it is no question: give {"path": ..., "body": ...}, {"question": ...}, a line of an'
        " OpenAI batch, or a body with messages"
    )


def _closed(said: Mapping[str, object], known: frozenset[str] | set[str]) -> None:
    unknown = sorted(set(said) - known)
    if unknown:
        raise ValueError(
            f"a question has no {unknown[0]!r}; it may have: {', '.join(sorted(known))}"
        )


def _filled(template: Members, words: str) -> Members:
    """``template`` with the words in it."""

    def fill(part: object) -> object:
        match part:
            case str():
                return part.replace(MARK, words)
            case list():
                return [fill(each) for each in part]
            case dict():
                return {name: fill(each) for name, each in part.items()}
            case _:
                return part

    return {name: fill(each) for name, each in template.items()}
