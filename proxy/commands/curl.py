"""A call of curl as a request: what people have at hand when they ask why something missed."""

from __future__ import annotations

import shlex
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from proxy.calling import Question
from proxy.warming.questions import path_of, raw_path

_DATA: Final = frozenset({"-d", "--data", "--data-raw", "--data-ascii", "--data-binary", "--json"})
_SAID: Final = frozenset({"-X", "--request", "-H", "--header", "-u", "--user", "--url", "-A",
                          "--user-agent", "-b", "--cookie", "-e", "--referer"}) | _DATA  # fmt: skip
# What takes a value, and changes nothing about what is asked.
_ASIDE: Final = frozenset({
    "-o", "--output", "-w", "--write-out", "-m", "--max-time", "--connect-timeout", "--retry",
    "--retry-delay", "--cacert", "--cert", "-E", "--key", "-x", "--proxy", "--resolve", "-D",
    "--dump-header", "--limit-rate", "--interface", "-c", "--cookie-jar",
})  # fmt: skip
_UNREADABLE: Final = frozenset({"-F", "--form", "-T", "--upload-file", "--data-urlencode", "-K",
                                "--config"})  # fmt: skip
_HEADERS: Final = {
    "-A": "User-Agent", "--user-agent": "User-Agent", "-b": "Cookie", "--cookie": "Cookie",
    "-e": "Referer", "--referer": "Referer",
}  # fmt: skip


def parsed(call: str) -> Question:
    """The request that ``call`` makes. Raises ValueError for what cannot be told from it."""
    if "$'" in call:
        raise ValueError("$'...' is for the shell: copy the call with plain quotes")
    words = shlex.split(call.replace("\\\r\n", " ").replace("\\\n", " "))
    said = _Call()
    for option, value in _options(words[1:] if words[:1] == ["curl"] else words):
        said.take(option, value)
    return said.question()


class _Call:
    """What was said so far."""

    def __init__(self) -> None:
        self._url = self._method = ""
        self._headers: list[tuple[str, str]] = []
        self._data: list[bytes] = []
        self._flags: set[str] = set()

    def take(self, option: str, value: str) -> None:
        """Understand one more. Raises ValueError."""
        if option in _DATA:
            self._flags.add(option)
            self._data.append(_content(value, option))
        elif option in {"-H", "--header"}:
            name, colon, content = value.partition(":")
            if colon:
                self._headers.append((name.strip(), content.strip()))
        elif option in {"-u", "--user"}:
            word = b64encode(value.encode()).decode()
            self._headers.append(("Authorization", f"Basic {word}"))
        elif option in _HEADERS:
            self._headers.append((_HEADERS[option], value))
        elif option in {"-X", "--request"}:
            self._method = value.upper()
        elif option in {"", "--url"}:
            self._url = value
        elif option in _UNREADABLE:
            raise ValueError(f"{option} cannot be read here: write the request to a file")
        else:
            self._flags.add(option)

    def question(self) -> Question:
        """All of it. Raises ValueError."""
        url = self._url
        if not url:
            raise ValueError("there is no URL in it")
        path = path_of(url if "://" in url or url.startswith("/") else f"http://{url}")
        body = b"&".join(self._data)
        if body and self._flags & {"-G", "--get"}:
            path += ("&" if "?" in path else "?") + body.decode()
            body = b""
        as_json = "--json" in self._flags
        named = {name.lower() for name, _ in self._headers}
        headers = list(self._headers)
        if body and "content-type" not in named:
            kind = "application/json" if as_json else "application/x-www-form-urlencoded"
            headers.append(("Content-Type", kind))
        if as_json and "accept" not in named:
            headers.append(("Accept", "application/json"))
        usual = "HEAD" if self._flags & {"-I", "--head"} else "POST" if body else "GET"
        return Question(self._method or usual, raw_path(path), tuple(headers), body)


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    """Each option with its value, if it has one; a word that is none as a value of ""."""
    takes = _SAID | _ASIDE | _UNREADABLE
    rest = iter(words)
    for word in rest:
        if not word.startswith("-") or word == "-":
            yield "", word
        elif word.startswith("--"):
            yield word, next(rest, "") if word in takes else ""
        else:
            letters = word[1:]  # flags in a row, as -sS; the last may have a value, as -XPOST
            while letters:
                option, letters = f"-{letters[0]}", letters[1:]
                if option in takes:
                    yield option, letters or next(rest, "")
                    break
                yield option, ""


def _content(value: str, option: str) -> bytes:
    """What is sent; @ names a file."""
    if not value.startswith("@") or option == "--data-raw":
        return value.encode()
    try:
        content = Path(value[1:]).read_bytes()
    except OSError as error:
        raise ValueError(f"{value[1:]}: {error.strerror}") from error
    # curl(1): -d leaves out line ends.
    return content if option in {"--data-binary", "--json"} else content.replace(b"\n", b"")
