"""Access logs: which questions were asked most.

What is counted is the question itself, so a log has to hold requests whole: the logs of gateways
for models do, one JSON object a line. Of a server's log in the common or combined format only GET
can be asked again, which is enough for resources.

Counts are kept for a bounded number of questions (Manku and Motwani: Approximate Frequency Counts
over Data Streams, VLDB 2002): one that is asked often is never lost, and is counted short by at
most one in 250,000 lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from heapq import nsmallest
from typing import Final, NamedTuple

import orjson

from proxy.calling import Question
from proxy.warming.questions import Members, Reader, encoded, members, path_of, raw_path
from proxy.warming.source import Line

_BUCKET: Final = 250_000  # lines, and about as many questions: some 60 MB
# https://httpd.apache.org/docs/2.4/logs.html#accesslog
_COMMON: Final = re.compile(rb'"(GET|HEAD) (\S+) HTTP/[\d.]+" (\d{3}) ')
_PATHS: Final = ("path", "url", "uri", "endpoint", "request_path", "request_url", "request_uri")
_BODIES: Final = ("body", "request_body", "requestBody", "payload", "json")
_STATUSES: Final = ("status", "status_code", "response_status", "statusCode")
_WORDS: Final = ("messages", "prompt", "input")
_OPTIONS: Final = ("model_parameters", "optional_params", "parameters")
_FAILED: Final = 400


class Top(NamedTuple):
    """What a log holds."""

    offsets: list[int]  # of lines: a question each, the one asked most first
    asked: int  # lines that are questions
    other: int  # lines that are not, or were not answered
    covered: int  # of those asked, how many the questions at ``offsets`` make up


def top(lines: Iterable[Line], reader: Reader, most: int, *, bucket: int = _BUCKET) -> Top:
    """The questions that were asked most.

    Args:
        lines: of the log.
        reader: knows where bodies go that say nothing of it.
        most: how many questions.
        bucket: by one in so many lines a count may be short.
    """
    counts: dict[bytes, tuple[int, int, int]] = {}  # how often, how often at most before, where
    asked = other = 0
    for line in lines:
        question = None if line.text is None else asked_in(line.text, reader)
        if question is None:
            other += 1
            continue
        asked += 1
        full = asked // bucket
        digest = _digest(question)
        seen, missed, offset = counts.get(digest, (0, full, line.offset))
        counts[digest] = (seen + 1, missed, offset)
        if asked % bucket == 0:
            counts = {key: each for key, each in counts.items() if each[0] + each[1] > full}
    best = nsmallest(most, counts.values(), key=lambda each: (-each[0], each[2]))
    return Top([offset for _, _, offset in best], asked, other, sum(each[0] for each in best))


def asked_in(line: bytes, reader: Reader) -> Question | None:
    """What was asked, and answered, by a line of a log; None if it holds no question."""
    text = line.strip()
    if not text.startswith(b"{"):
        return _in_common_format(text)
    try:
        return _in_object(members(text), reader)
    except ValueError:
        return None


def _in_common_format(text: bytes) -> Question | None:
    found = _COMMON.search(text)
    if found is None or int(found[3]) >= _FAILED:
        return None
    try:
        return Question("GET", raw_path(found[2].decode("utf-8")), (), b"")
    except ValueError:
        return None


def _in_object(said: Members, reader: Reader) -> Question | None:
    """Raises ValueError for what cannot be asked."""
    status = _first(said, _STATUSES)
    if isinstance(status, int) and status >= _FAILED:
        return None
    inner = said.get("request")
    places: list[Mapping[str, object]] = [inner, said] if isinstance(inner, dict) else [said]
    path = next((p for place in places if isinstance(p := _first(place, _PATHS), str)), None)
    body = next((b for place in places if (b := _first(place, _BODIES)) is not None), None)
    if isinstance(body, str) and body.startswith("{"):
        body = members(body.encode())
    if body is None:
        body = _told_apart(places, own=isinstance(inner, dict))
    if path is None:
        return reader.of_body(body) if isinstance(body, dict) else None
    method = next((m for place in places if isinstance(m := place.get("method"), str)), None)
    sent = encoded(body)
    method = (method or ("POST" if sent else "GET")).upper()
    if method != "GET" and not (method == "POST" and sent):
        return None
    headers = (("Content-Type", "application/json"),) if sent else ()
    return Question(method, raw_path(path_of(path)), headers, sent)


def _told_apart(places: list[Mapping[str, object]], *, own: bool) -> Members | None:
    """The body, where its members stand among those of the log line, or are the request."""
    for number, place in enumerate(places):
        words = next((name for name in _WORDS if place.get(name)), None)
        if words is None or not isinstance(place.get("model"), str):
            continue
        if own and number == 0:
            return {name: value for name, value in place.items() if name not in _PATHS}
        options = _first(place, _OPTIONS)
        more = options if isinstance(options, dict) else {}
        return {**more, "model": place["model"], words: place[words]}
    return None


def _first(said: Mapping[str, object], names: tuple[str, ...]) -> object:
    return next((said[name] for name in names if said.get(name) is not None), None)


def _digest(question: Question) -> bytes:
    try:
        body = orjson.dumps(orjson.loads(question.body), option=orjson.OPT_SORT_KEYS)
    except ValueError:
        body = question.body
    digest = blake2b(f"{question.method} {question.path} ".encode(), digest_size=16)
    digest.update(body)
    return digest.digest()
