"""The remote embedder: asks a service for vectors, in the shape of OpenAI's ``/v1/embeddings``.

It speaks to OpenAI and to what speaks like it: vLLM, text-embeddings-inference, Ollama and others,
with a key or without. Nothing is asked twice, no redirect is followed (the key would go along), and
no more is read than vectors of their usual size take. What it reports goes to the log, so it quotes
neither the key nor the texts, though a service's own error messages may.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import aiohttp
import numpy as np
import orjson
from yarl import URL

from proxy.model.errors import ConfigError
from proxy.semantic.base import EmbedderError, TextRefused

if TYPE_CHECKING:
    from proxy.semantic.base import Vector

_TRIAL: Final = "How do I find my way?"
_MOST_BYTES: Final = 262_144  # of an answer for each text: 8,192 numbers, generously written
_SPARE_BYTES: Final = 65_536  # of an answer besides
_LOOP_BYTES: Final = 65_536  # of an answer that is read on the loop, in about 0.5 ms
_REFUSALS: Final = frozenset({400, 413, 422})  # what is wrong is in the request: a text, mostly
_OK: Final = 200
_MOST_WORDS: Final = 200  # of what a service says that is passed on
_QUOTED: Final = 12  # characters in a row that it has in common with a text or a key: it is quoted
_SHORTEST: Final = 4  # characters of what is shorter and gives nobody away


class RemoteEmbedder:
    """An embedding service.

    Args:
        url: of the service; ``/v1/embeddings``, or what of it is missing, is added.
        model: as the service names it.
        headers: sent with each call, an ``Authorization`` for example; secret.
        dimensions: the length asked for, of models that can be cut; else that of the first answer.
        timeout_s: seconds for one call, from connecting to the last byte.
        tls: how to verify the service, and how to be known to it; None as the system has it.
        max_batch: texts in one call; more are sent in several, one after the other.
        compact: ask for base64, a third of the bytes; not every service can.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str,
        headers: Mapping[str, str] | None = None,
        dimensions: int | None = None,
        timeout_s: float = 10.0,
        tls: ssl.SSLContext | None = None,
        max_batch: int = 32,
        compact: bool = False,
    ) -> None:
        """Raises ConfigError if ``url`` is none."""
        self._url = _endpoint(url)
        self._model = model
        self._headers = dict(headers or {})
        self._asked_dimensions = dimensions
        self._dimensions = dimensions or 0
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._tls = tls
        self._max_batch = max_batch
        self._compact = compact
        self._session: aiohttp.ClientSession | None = None

    @property
    def name(self) -> str:
        host = self._url.host if self._url.explicit_port is None else self._url.authority
        return f"remote:{_printable(self._model)} at {(host or '').rpartition('@')[2]}"

    @property
    def fingerprint(self) -> str:
        """Of address, model and length; a service that changes its weights must change a name."""
        place = str(self._url.with_user(None))
        told = "\0".join((place, self._model, str(self._dimensions)))
        return f"remote-{blake2b(told.encode(), digest_size=16).hexdigest()}"

    @property
    def dimensions(self) -> int:
        return self._dimensions

    async def start(self) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # Many services end a connection that was idle for 5 seconds, and a call that
                # is on its way just then would fail.
                connector=aiohttp.TCPConnector(
                    limit=16, keepalive_timeout=4.0, ssl=self._tls or True
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
            )
        (vector,) = await self.embed([_TRIAL])
        if vector.ndim != 1 or not vector.size:
            raise EmbedderError(f"{self.name}: an empty vector")
        if self._asked_dimensions not in {None, vector.size}:
            asked = self._asked_dimensions
            raise EmbedderError(f"{self.name}: {vector.size} numbers, but {asked} were asked for")
        self._dimensions = vector.size

    async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        vectors: list[Vector] = []
        for first in range(0, len(texts), self._max_batch):
            part = texts[first : first + self._max_batch]
            body = await self._post(part)
            try:
                if len(body) > _LOOP_BYTES:
                    vectors += await asyncio.to_thread(_read, body, len(part))
                else:
                    vectors += _read(body, len(part))
            except ValueError as error:
                raise EmbedderError(f"{self.name}: {error}") from error
        return vectors

    def unknown(self, text: str) -> float | None:  # noqa: ARG002 - it cannot be told of any
        return None

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _post(self, texts: Sequence[str]) -> bytes:
        """The body of a good answer. Raises EmbedderError."""
        session = self._session
        if session is None:
            raise EmbedderError(f"{self.name}: not started, or closed")
        asked: dict[str, object] = {"model": self._model, "input": list(texts)}
        if self._asked_dimensions is not None:
            asked["dimensions"] = self._asked_dimensions
        if self._compact:
            asked["encoding_format"] = "base64"
        try:
            written = orjson.dumps(asked)
        except orjson.JSONEncodeError as error:  # a lone surrogate
            raise TextRefused(f"{self.name}: a text that is no Unicode") from error
        headers = {"Accept-Encoding": "identity", **self._headers}
        headers["Content-Type"] = "application/json"
        most = _SPARE_BYTES + _MOST_BYTES * len(texts)
        try:
            async with session.post(
                self._url, data=written, headers=headers, allow_redirects=False
            ) as response:
                body = bytearray()
                async for piece in response.content.iter_any():
                    body += piece
                    if len(body) > most:
                        raise EmbedderError(f"{self.name}: an answer of more than {most} bytes")
        except TimeoutError as error:
            total = self._timeout.total
            raise EmbedderError(f"{self.name}: no answer within {total:g} seconds") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # A message of aiohttp's may hold the address with its password, and headers.
            said = _quotable(str(error), self._secrets())
            raise EmbedderError(f"{self.name}: {type(error).__name__}{said}") from error
        if response.status != _OK:
            said = _quotable(_complaint(bytes(body)), [*self._secrets(), *texts])
            kind = TextRefused if response.status in _REFUSALS else EmbedderError
            raise kind(f"{self.name}: status {response.status}{said}")
        return bytes(body)

    def _secrets(self) -> list[str]:
        # Without "Bearer", which is no secret and may well be spoken of.
        words = [word for value in self._headers.values() for word in value.split()]
        return [*(word for word in words if word != "Bearer"), self._url.password or ""]


def _endpoint(url: str) -> URL:
    try:
        given = URL(url)
        good = given.scheme in {"http", "https"} and bool(given.host)
    except ValueError as error:
        raise ConfigError("the embedder's url is none") from error
    if not good:
        raise ConfigError("the embedder's url must be one of http:// or https://")
    path = given.raw_path.rstrip("/")
    if not path.endswith("/embeddings"):
        path += "/embeddings" if path.endswith("/v1") else "/v1/embeddings"
    return given.with_path(path, encoded=True, keep_query=True)


def _read(body: bytes, count: int) -> list[Vector]:
    """The vectors of an answer, in the order of what was asked. Raises ValueError."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ValueError("the answer is no JSON") from error
    items = document.get("data") if isinstance(document, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError('the answer has no list "data"')
    if len(items) != count:
        raise ValueError(f"{len(items)} vectors for {count} texts")
    if any("index" in item for item in items):
        places = [item.get("index") for item in items]
        if not all(type(place) is int for place in places) or set(places) != set(range(count)):
            raise ValueError("the vectors are numbered wrongly")
        items = sorted(items, key=lambda item: item["index"])
    return [_vector(item.get("embedding")) for item in items]


def _vector(written: object) -> Vector:
    """Raises ValueError."""
    if isinstance(written, str):
        numbers = base64.b64decode(written, validate=True)
        return np.frombuffer(numbers, "<f4").astype(np.float32)
    if not isinstance(written, list) or not all(type(x) in {float, int} for x in written):
        raise ValueError("a vector is neither a list of numbers nor base64")
    with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite, and is found so
        return np.array(written, np.float64).astype(np.float32)


def _complaint(body: bytes) -> str:
    """What an error says, where it is said in one of the usual ways; else its beginning."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body[:_MOST_WORDS].decode(errors="replace")
    for name in ("error", "message", "detail"):
        if isinstance(said, dict) and name in said:
            said = said[name]
    return said if isinstance(said, str) else body[:_MOST_WORDS].decode(errors="replace")


def _quotable(said: str, private: Sequence[str]) -> str:
    """Some of ``said``, to end a sentence with; nothing of it if it quotes what is private."""
    words = _printable(" ".join(said.split()))[:_MOST_WORDS]
    short = [each for each in private if _SHORTEST <= len(each) < _QUOTED]
    longer = [each for each in private if len(each) >= _QUOTED]
    parts = {words[at : at + _QUOTED] for at in range(len(words) - _QUOTED + 1)}
    if any(each in words for each in short) or any(
        part in each for each in longer for part in parts
    ):
        return ", with words that repeat what it was sent"
    return f': "{words}"' if words else ""


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
